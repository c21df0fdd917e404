//! The table of everything a message can be refused for.

use super::header::Rcode;

/// Defines [`Reason`] from one table: variant, response code, name, meaning.
macro_rules! reasons {
    ($( $variant:ident $rcode:expr, $name:literal $meaning:literal )*) => {
        /// Why a message is not a query that can be looked up.
        ///
        /// There is one for each cause, so that each can be counted.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $( #[doc = $meaning] $variant, )*
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Reason] = &[$( Reason::$variant, )*];

            /// Returns the stable name, for counters.
            pub fn name(self) -> &'static str {
                match self { $( Reason::$variant => $name, )* }
            }

            /// Returns the code to answer with, or nothing where the message
            /// must not be answered.
            pub fn rcode(self) -> Option<Rcode> {
                match self { $( Reason::$variant => $rcode, )* }
            }
        }
    };
}

reasons! {
    Short           None,                 "short"             "It is shorter than a header, so that there is no ID to answer to."
    Response        None,                 "response"          "It is a response (QR): an answer to it could start a loop of two servers."
    Opcode          Some(Rcode::NOTIMP),  "opcode"            "Its operation is not QUERY: there is nothing to notify (RFC 1996 section 3.12) or update (RFC 2136 section 2.2) here."
    EdnsVersion     Some(Rcode::BADVERS), "edns-version"      "Its EDNS version is above 0 (RFC 6891 section 6.1.3)."
    QuestionCount   Some(Rcode::FORMERR), "question-count"    "It has not exactly one question (RFC 9619), and does not ask for a cookie alone (RFC 7873 section 5.4)."
    QuestionName    Some(Rcode::FORMERR), "question-name"     "The name asked for is too long, compressed, or has a reserved label type."
    AnswerSection   Some(Rcode::FORMERR), "answer-section"    "A query has records in its answer section."
    AuthoritySection Some(Rcode::FORMERR), "authority-section" "A query has records in its authority section that are not the SOA of an IXFR."
    RecordName      Some(Rcode::FORMERR), "record-name"       "The owner of a record is too long, points forward, or has a reserved label type."
    Truncated       Some(Rcode::FORMERR), "truncated"         "It ends before what its header announces."
    Trailing        Some(Rcode::FORMERR), "trailing"          "Octets follow the last record."
    OptOwner        Some(Rcode::FORMERR), "opt-owner"         "The owner of its OPT record is not the root (RFC 6891 section 6.1.2)."
    OptTwice        Some(Rcode::FORMERR), "opt-twice"         "It has more than one OPT record (RFC 6891 section 6.1.1)."
    OptOptions      Some(Rcode::FORMERR), "opt-options"       "An EDNS option runs past the end of its OPT record."
    ClientSubnet    Some(Rcode::FORMERR), "client-subnet"     "Its client subnet option is not as RFC 7871 section 6 asks."
    Cookie          Some(Rcode::FORMERR), "cookie"            "Its cookie is not of 8 or of 16 to 40 octets (RFC 7873 section 5.2.2)."
    TcpKeepalive    Some(Rcode::FORMERR), "tcp-keepalive"     "Its TCP keepalive option has a timeout, which queries leave out (RFC 7828 section 3.2.1)."
    TsigKey         Some(Rcode::NOTAUTH), "tsig-key"          "It is signed with a key that nobody here has (RFC 8945 section 5.2.1)."
    TsigForm        Some(Rcode::FORMERR), "tsig-form"         "Its TSIG record is not as RFC 8945 section 4.2 asks."
    TsigPlace       Some(Rcode::FORMERR), "tsig-place"        "Its TSIG record is not the last record (RFC 8945 section 5.1)."
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_kebab_case() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        for name in &names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
