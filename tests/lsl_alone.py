"""Settings with which the Lab Streaming Layer asks and answers this machine only.

The library reads them at its first call, from the file that ``LSLAPICFG`` names.
"""

LSL_ALONE = """
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
MachineAddresses = {127.0.0.1}
AddressesOverride = {127.0.0.1}
[lab]
KnownPeers = {127.0.0.1}
"""
