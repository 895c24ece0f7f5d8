"""Addresses of peers: one spelling for each, so that settings, limits, keys and log lines mean the same by it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_MAPPED = IPv6Network("::ffff:0:0/96")
"""Addresses of IPv4 as a socket for both families has them (RFC 4291, section 2.5.5.2)."""


def canonical_address(text: str) -> str:
    """*text* in the one spelling of the address that it is, and as one of IPv4 where that is mapped to IPv6.

    What is no address stays as it is. Only a mapped address is its peer's: what other forms hold, a client may make up.
    """
    if ":" not in text:  # IPv4 has one spelling
        return text
    try:
        address = IPv6Address(text)
    except ValueError:
        return text
    return str(address.ipv4_mapped or address)


def canonical_network(text: str) -> str:
    """*text*, an address or a network such as 10.0.0.0/8, likewise; raises ValueError if it is neither."""
    if "/" not in text:
        return canonical_address(str(ip_address(text)))
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        network = IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - _MAPPED.prefixlen))
    return str(network)


def mapped_network(network: str) -> str:
    """The same as *network*, which is canonical and of IPv4, mapped to IPv6; *network* itself if it is of IPv6."""
    if ":" in network:
        return network
    address, slash, bits = network.partition("/")
    return f"::ffff:{address}" + (f"/{_MAPPED.prefixlen + int(bits)}" if slash else "")
