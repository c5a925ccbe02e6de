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
fusion node SIGKILL                       ``tests/crash``, ``test_whole_way``
fusion node SIGSTOP                       ``test_fusion_pause``, ``tests/crash``
link cut, disk full                       ``test_link_cut*``, ``test_spool*`` here
spool truncated, spool bit flip           ``test_spool*`` here, ``tests/unit/test_spool*``
sink answering 500 for hours              ``test_sink*`` here, ``tests/unit/test_outbox``
alert node SIGKILL between send, commit   ``test_alert*`` here, ``test_alert_node``
two fusion nodes claiming one scene       ``test_fusion*`` here
========================================  ==================================================

Bad input, which is no fault, is in ``test_bad_input_on_the_link`` and ``test_bad_input_live``.
"""
