"""How the tables of each component came to be: one folder a component, one file a version.

To change tables once a version is released: change their description, raise its ``VERSION``,
and add ``vNNNN_what.py`` here with ``revision`` (the new version, four digits),
``down_revision`` (the one before) and ``upgrade(op)``, which gets Alembic's operations. With
SQLite a column changes within ``op.batch_alter_table``. What is written there stands by itself:
it never imports the description, which goes on changing. ``python -m tests.golden.release``
keeps files of the version that is released, which every later one must open.

A test compares what the revisions make with what is described; another checks the order.
"""
