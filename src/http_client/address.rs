//! Which IP addresses a client may connect to.
//!
//! The reserved ranges are those of the registries of special-purpose addresses (RFC 6890 and its updates). An IPv6
//! address that contains an IPv4 address is judged by the latter if it is mapped (`::ffff:0:0/96`), and refused if it
//! is translated (NAT64, 6to4), because a gateway decides then where the connection ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressKind {
    /// A host on the internet.
    Public,
    /// This machine or the local network: loopback, private and shared ranges, unique local addresses.
    Private,
    /// Anything else: link-local (with the metadata services of clouds), multicast, documentation, reserved.
    Reserved,
}

/// Returns where `address` leads.
#[must_use]
pub fn kind(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => kind_of_v4(mapped),
            None => kind_of_v6(address),
        },
    }
}

fn kind_of_v4(address: Ipv4Addr) -> AddressKind {
    let [first, second, third, _] = address.octets();
    // Shared addresses of carriers (RFC 6598), which private networks use as well.
    let is_shared = first == 100 && (64..128).contains(&second);
    if address.is_loopback() || address.is_private() || is_shared {
        return AddressKind::Private;
    }
    let is_reserved = first == 0
        || first >= 240
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || (first, second, third) == (192, 0, 0)
        || (first, second, third) == (192, 88, 99)
        || (first == 198 && (18..20).contains(&second));
    if is_reserved { AddressKind::Reserved } else { AddressKind::Public }
}

fn kind_of_v6(address: Ipv6Addr) -> AddressKind {
    let segments = address.segments();
    let is_unique_local = segments[0] & 0xfe00 == 0xfc00;
    if address.is_loopback() || is_unique_local {
        return AddressKind::Private;
    }
    // Global unicast is 2000::/3. Within it: 6to4, documentation (two ranges), and the block of protocol assignments.
    let is_global_unicast = segments[0] & 0xe000 == 0x2000;
    let is_excluded = segments[0] == 0x2002
        || (segments[0] == 0x2001 && segments[1] == 0x0db8)
        || (segments[0] == 0x2001 && segments[1] < 0x0200)
        || (segments[0] == 0x3fff && segments[1] < 0x1000);
    if is_global_unicast && !is_excluded { AddressKind::Public } else { AddressKind::Reserved }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_kind(expected: AddressKind, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(kind(text.parse().expect("an address")), expected, "{text}");
        }
    }

    #[test]
    fn public_addresses_are_permitted() {
        assert_kind(AddressKind::Public, &["1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1"]);
        assert_kind(AddressKind::Public, &["2606:4700::1111", "2a00:1450:4001::200e", "::ffff:8.8.8.8", "2001:200::1"]);
    }

    #[test]
    fn local_networks_are_private() {
        assert_kind(
            AddressKind::Private,
            &["127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255"],
        );
        assert_kind(AddressKind::Private, &["192.168.1.1", "100.64.0.1", "100.127.255.255"]);
        assert_kind(AddressKind::Private, &["::1", "fc00::1", "fdff::1", "::ffff:127.0.0.1", "::ffff:10.1.2.3"]);
    }

    #[test]
    fn metadata_services_and_special_ranges_are_reserved() {
        assert_kind(AddressKind::Reserved, &["169.254.169.254", "0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1"]);
        assert_kind(AddressKind::Reserved, &["224.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1"]);
        assert_kind(AddressKind::Reserved, &["198.19.255.255", "192.0.0.8", "192.88.99.1"]);
        assert_kind(
            AddressKind::Reserved,
            &["::", "fe80::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1", "2001::1"],
        );
        assert_kind(AddressKind::Reserved, &["2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1", "5f00::1"]);
        assert_kind(AddressKind::Reserved, &["::ffff:169.254.169.254", "::127.0.0.1"]);
    }
}
