//! RDATA in presentation format.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::{Name, Rtype};

/// Reads RDATA in presentation format into uncompressed wire format.
pub fn from_text(rtype: Rtype, text: &str, origin: &Name) -> Result<Box<[u8]>, String> {
    match rtype {
        Rtype::A => match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(address.octets().into()),
            Err(_) => Err("not an IPv4 address".into()),
        },
        Rtype::AAAA => match text.parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.octets().into()),
            Err(_) => Err("not an IPv6 address".into()),
        },
        Rtype::CNAME => match Name::parse(text, origin) {
            Ok(target) => Ok(target.as_wire().into()),
            Err(err) => Err(err.to_string()),
        },
        _ => Err(format!("{rtype} is not read yet")),
    }
}
