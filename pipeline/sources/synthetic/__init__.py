"""A synthetic site: one hidden world causes picture, sound and sensor readings together.

Everything is a pure function of ``(place, seed, time)``: frame *k*, audio sample *n* and
reading *k* come out the same wherever reading starts and however it is chunked. The world
(`world`) says what happens; `picture`, `sound` and `sensors` say how it looks, sounds and
reads; `anomalies` says what is wrong and when, `labels` writes that down exactly.
"""
