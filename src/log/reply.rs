//! What a response of this server hands out.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use crate::wire::{Name, Rtype};

/// The most jumps along pointers within a name. Names that this server writes
/// have one, or two.
const JUMPS_MAX: usize = 16;

/// What a response hands out. It is read into again and again, so that nothing
/// is allocated once it has had the largest of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    /// The targets of the SRV records that answer, in their order.
    pub(super) endpoints: Vec<Target>,

    /// The addresses that answer.
    pub(super) addresses: Vec<IpAddr>,

    /// How many records answer.
    pub(super) answers: u16,

    /// The response code.
    pub(super) rcode: u16,

    /// The client subnet and the scope that the response has, if it has them.
    pub(super) subnet: Option<(IpNet, u8)>,

    /// The addresses of the additional section, with their owners.
    hosts: Vec<(Range<usize>, IpAddr)>,

    /// All names, in wire format and lower case.
    names: Vec<u8>,
}

/// The target of an SRV record.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    name: Range<usize>,
}

impl Reply {
    /// Reads a response. What is no response hands out nothing.
    pub(super) fn read(&mut self, response: &[u8]) {
        self.clear();
        if self.try_read(response).is_none() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.endpoints.clear();
        self.addresses.clear();
        self.hosts.clear();
        self.names.clear();
        (self.answers, self.rcode, self.subnet) = (0, 0, None);
    }

    /// Returns the name of a target, in wire format and lower case.
    pub(super) fn name(&self, target: &Target) -> &[u8] {
        self.names.get(target.name.clone()).unwrap_or_default()
    }

    /// Returns the addresses of a target that went along.
    pub(super) fn addresses_of(&self, target: &Target) -> impl Iterator<Item = IpAddr> {
        let name = self.name(target);
        let hosts = self.hosts.iter();
        let of_target = hosts.filter(move |(owner, _)| self.names.get(owner.clone()) == Some(name));
        of_target.map(|(_, address)| *address)
    }

    fn try_read(&mut self, response: &[u8]) -> Option<()> {
        let header: &[u8; 12] = response.first_chunk()?;
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        self.answers = count(6);
        self.rcode = (header[3] & 0x0f).into();
        let records = u32::from(self.answers) + u32::from(count(8)) + u32::from(count(10));
        let mut at = 12;
        for _ in 0..count(4) {
            at = behind_name(response, at)? + 4;
        }
        for number in 0..records {
            let record = Record::read(response, at)?;
            at = record.end;
            self.note(response, &record, number < self.answers.into())?;
        }
        Some(())
    }

    fn note(&mut self, response: &[u8], record: &Record<'_>, is_answer: bool) -> Option<()> {
        match record.rtype {
            Rtype::SRV if is_answer => {
                let &[priority_0, priority_1, weight_0, weight_1, port_0, port_1] =
                    record.rdata.first_chunk()?;
                self.endpoints.push(Target {
                    priority: u16::from_be_bytes([priority_0, priority_1]),
                    weight: u16::from_be_bytes([weight_0, weight_1]),
                    port: u16::from_be_bytes([port_0, port_1]),
                    name: copy_name(response, record.rdata_at + 6, &mut self.names)?,
                });
            }
            Rtype::A | Rtype::AAAA => {
                let address = address(record.rdata)?;
                match is_answer {
                    true => self.addresses.push(address),
                    // Nobody asks for what is not about an endpoint.
                    false if self.endpoints.is_empty() => {}
                    false => {
                        let owner = copy_name(response, record.at, &mut self.names)?;
                        self.hosts.push((owner, address));
                    }
                }
            }
            Rtype::OPT => {
                self.rcode |= u16::from((record.ttl >> 24) as u8) << 4;
                self.subnet = subnet(record.rdata);
            }
            _ => {}
        }
        Some(())
    }
}

/// A record of a response.
struct Record<'r> {
    at: usize,
    rtype: Rtype,
    ttl: u32,
    rdata: &'r [u8],
    rdata_at: usize,
    end: usize,
}

impl<'r> Record<'r> {
    fn read(response: &'r [u8], at: usize) -> Option<Self> {
        let fixed_at = behind_name(response, at)?;
        let &[type_0, type_1, _, _, ttl_0, ttl_1, ttl_2, ttl_3, len_0, len_1] =
            response.get(fixed_at..)?.first_chunk()?;
        let rdata_at = fixed_at + 10;
        let end = rdata_at + usize::from(u16::from_be_bytes([len_0, len_1]));
        Some(Record {
            at,
            rtype: Rtype(u16::from_be_bytes([type_0, type_1])),
            ttl: u32::from_be_bytes([ttl_0, ttl_1, ttl_2, ttl_3]),
            rdata: response.get(rdata_at..end)?,
            rdata_at,
            end,
        })
    }
}

/// Returns where a name ends that begins at a place.
fn behind_name(response: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *response.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            len => at += 1 + usize::from(len),
        }
    }
}

/// Adds the name that begins at a place to others, in lower case; returns where
/// it is.
fn copy_name(response: &[u8], mut at: usize, names: &mut Vec<u8>) -> Option<Range<usize>> {
    let (start, mut jumps) = (names.len(), 0);
    loop {
        match *response.get(at)? {
            0 => break,
            upper @ 0xc0.. if jumps < JUMPS_MAX => {
                at = usize::from(u16::from_be_bytes([upper & 0x3f, *response.get(at + 1)?]));
                jumps += 1;
            }
            len @ 1..=63 => {
                names.extend_from_slice(response.get(at..=at + usize::from(len))?);
                at += 1 + usize::from(len);
            }
            _ => return None,
        }
        if names.len() - start >= Name::MAX_LEN {
            return None;
        }
    }
    names.push(0);
    // Lengths are below 64, and no letters.
    names[start..].make_ascii_lowercase();
    Some(start..names.len())
}

fn address(rdata: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(rdata) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from)
}

/// Returns the client subnet option (RFC 7871 section 6) among those of OPT:
/// the prefix, and the scope. One of length 0 has no prefix.
fn subnet(mut options: &[u8]) -> Option<(IpNet, u8)> {
    const CLIENT_SUBNET: u16 = 8;
    loop {
        let (&[code_0, code_1, len_0, len_1], rest) = options.split_first_chunk()?;
        let (data, behind) = rest.split_at_checked(u16::from_be_bytes([len_0, len_1]).into())?;
        if u16::from_be_bytes([code_0, code_1]) == CLIENT_SUBNET {
            let (&[_, family, source, scope], prefix) = data.split_first_chunk()?;
            let address: IpAddr = match family {
                1 => padded::<4>(prefix)?.into(),
                _ => padded::<16>(prefix)?.into(),
            };
            let network = IpNet::new(address, source).ok()?;
            return (source > 0).then_some((network, scope));
        }
        options = behind;
    }
}

/// Fills an address up with zeros.
fn padded<const N: usize>(prefix: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    octets.get_mut(..prefix.len())?.copy_from_slice(prefix);
    Some(octets)
}

//============ Tests =========================================================

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A response to `_a.b. SRV` with two targets, the addresses of one, and
    /// OPT.
    pub(in crate::log) fn response() -> Vec<u8> {
        let mut octets = vec![0, 1, 0x84, 0, 0, 1, 0, 2, 0, 0, 0, 3];
        octets.extend(b"\x02_a\x01b\0\0\x21\0\x01");
        for (priority, host) in [(10, b"\x01X"), (20, b"\x01y")] {
            octets.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 10, 0, priority, 0, 100]);
            octets.extend([19, 196]);
            octets.extend(host);
            octets.extend([0xc0, 15]);
        }
        // The first target stands at 12 + 10 + 12 + 6.
        octets.extend([0xc0, 40, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 51, 100, 11]);
        octets.extend([0xc0, 40, 0, 28, 0, 1, 0, 0, 1, 44, 0, 16]);
        octets.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        octets.extend([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 11]);
        octets.extend([0, 8, 0, 7, 0, 1, 24, 22, 203, 0, 113]);
        octets
    }

    fn read(octets: &[u8]) -> Reply {
        let mut reply = Reply::default();
        reply.read(octets);
        reply
    }

    #[test]
    fn endpoints_are_read_in_order_with_their_addresses() {
        let mut reply = Reply::default();
        // What was read before leaves no trace.
        for _ in 0..2 {
            reply.read(&response());
            let [first, second] = &reply.endpoints[..] else { panic!("{reply:?}") };
            assert_eq!((first.priority, first.weight, first.port), (10, 100, 5060));
            assert_eq!(
                (reply.name(first), reply.name(second)),
                (&b"\x01x\x01b\0"[..], &b"\x01y\x01b\0"[..])
            );
            let addresses: Vec<_> = reply.addresses_of(first).map(|one| one.to_string()).collect();
            assert_eq!(addresses, ["198.51.100.11", "2001:db8::1"]);
            assert_eq!(reply.addresses_of(second).count(), 0);
            // The upper bits stand in OPT.
            assert_eq!((reply.answers, reply.rcode), (2, 16));
            assert_eq!(reply.subnet, Some(("203.0.113.0/24".parse().unwrap(), 22)));
        }
    }

    #[test]
    fn no_octets_make_it_fail_otherwise_than_by_handing_out_nothing() {
        let whole = response();
        for len in 0..whole.len() {
            let reply = read(&whole[..len]);
            assert_eq!((reply.endpoints.len(), reply.answers), (0, 0), "{len}");
        }
        for at in 0..whole.len() {
            for value in [0, 0x3f, 0xc0, 0xff] {
                let mut octets = whole.clone();
                octets[at] = value;
                // A name that points to itself, a record that is longer than
                // the message: it ends.
                let _ = read(&octets);
            }
        }
    }
}
