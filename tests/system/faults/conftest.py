"""The faults to survive, and where each is tested.

Every one with the real process or server it needs; nothing may be lost, the ledger must be exact,
and what is told must be what an undisturbed run tells, but for the fault itself.

In ``test_devices_and_servers`` here, all in one run:

========================================  ==================================================
fault                                     test, and what of it is tested more closely
========================================  ==================================================
camera unplugged                          ``..camera_that_is_unplugged..``
reader hung inside ``read()``             ``..reader_that_hangs..``; ``test_reader_process``
microphone unplugged                      ``..microphone_whose_server_goes..``
RTSP server restart, stamps from zero     ``..rtsp_server_that_restarts..``; ``test_media_rtsp``
MQTT broker restart                       ``..broker_that_restarts..``
capture node without power                ``..node_that_loses_power..``
system clock an hour ahead, then behind   ``..system_clock_that_steps..``; ``test_fusion_clock``
source timestamps reset                   ``..stamps_that_begin_at_1970..``
========================================  ==================================================

Elsewhere, each in its own:

========================================  ==================================================
fusion node SIGKILL, SIGSTOP              ``test_fusion_node``; ``tests/crash``
link cut, capture node SIGKILL            ``test_link_cut``, ``test_run_with_spool``
disk full, spool truncated, bit flip      ``test_spool_disk``; ``tests/unit/test_spool*``
a message lost between two nodes          ``test_message_lost_between_nodes``
sink answering 500 for hours              ``test_sink_down_for_hours``; ``tests/unit/test_outbox``
alert node SIGKILL between send, commit   ``test_alert_node_killed``; ``test_alert_node``
two fusion nodes claiming one scene       ``test_two_fusion_nodes``
worker, machine or all of a cluster lost  ``tests/system/test_cluster``
========================================  ==================================================

Bad input, which is no fault, is in ``test_bad_input_*`` here and ``test_bad_input_on_the_link``.
"""
