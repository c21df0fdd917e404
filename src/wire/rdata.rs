//! Where names lie in RDATA.

use super::name::Name;
use super::rtype::Rtype;

//----------- NameLayout -----------------------------------------------------

/// Which part of the RDATA of a type is names that may be compressed.
///
/// ```text
/// | before: fixed octets | names, one after another | the rest, as it is |
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct NameLayout {
    /// The octets before the first name.
    pub(super) before: usize,

    /// The number of names.
    pub(super) names: usize,
}

impl NameLayout {
    /// Returns the layout for a type.
    ///
    /// Only types of RFC 1035 may have compressed names (RFC 3597 section 4);
    /// that leaves out SRV (RFC 2782), NAPTR, DNAME, RRSIG, NSEC and all that
    /// came later. The obsolete ones (MB, MD, MF, MG, MINFO, MR) are left as
    /// they are too: not every decoder knows them, and one that does not would
    /// hand on a pointer out of its message.
    pub(super) fn of(rtype: Rtype) -> Self {
        let (before, names) = match rtype {
            Rtype::NS | Rtype::CNAME | Rtype::PTR => (0, 1),
            Rtype::SOA => (0, 2),
            Rtype::MX => (2, 1),
            _ => (0, 0),
        };
        NameLayout { before, names }
    }
}

/// Returns the length of the uncompressed name that the octets begin with, in
/// octets; none where they begin with no name.
pub(super) fn name_len(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*octets.get(at)?);
        at += 1 + len;
        if len > Name::MAX_LABEL || at > Name::MAX_LEN {
            return None;
        }
        if len == 0 {
            return Some(at);
        }
    }
}
