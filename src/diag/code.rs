//! The table of everything that can be found wrong.

use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The input is refused.
    Error,

    /// The input is served; it will probably not do what was meant.
    Warning,
}

impl Severity {
    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Defines [`Code`] from one table: variant, severity, name, meaning.
macro_rules! codes {
    ($( $variant:ident $severity:ident $name:literal $meaning:literal )*) => {
        /// What a finding is about. Names are stable across releases.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Code {
            $( #[doc = $meaning] $variant, )*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$( Code::$variant, )*];

            /// Returns the stable name.
            pub fn name(self) -> &'static str {
                match self { $( Code::$variant => $name, )* }
            }

            /// Returns how much it weighs.
            pub fn severity(self) -> Severity {
                match self { $( Code::$variant => Severity::$severity, )* }
            }

            /// Returns the code of a name.
            pub fn find(name: &str) -> Option<Code> {
                Code::ALL.iter().copied().find(|code| code.name() == name)
            }

            /// Returns what it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $( Code::$variant => $meaning, )* }
            }
        }
    };
}

codes! {
    // Any file.
    FileUnreadable      Error   "file-unreadable"       "A file or folder cannot be read."
    TomlSyntax          Error   "toml-syntax"           "A file is not well-formed TOML."
    UnknownKey          Error   "unknown-key"           "A key has no meaning here."
    MissingKey          Error   "missing-key"           "A key that is needed is missing."
    WrongType           Error   "wrong-type"            "A value has another type than its key asks for."
    OutOfRange          Error   "out-of-range"          "A number is outside of what its key allows."
    BadValue            Error   "bad-value"             "A text cannot be read as what its key asks for."
    DuplicateValue      Error   "duplicate-value"       "A list names the same thing twice."
    UnquotedName        Error   "unquoted-name"         "A name with dots lacks its quotes, so that TOML nests it."
    MisplacedKey        Error   "misplaced-key"         "A key stands below a header that makes it something else."
    SplitRecords        Error   "split-records"         "The records of a `[[geo]]` entry are written in two ways."

    TooMany             Error   "too-many"              "A table has more entries than the server supports."

    // The configuration.
    SecretReadable      Warning "secret-readable"       "A file with secrets can be read or written by everybody on the host."
    BadCertificate      Error   "bad-certificate"       "A certificate file cannot be used."
    BadKey              Error   "bad-key"               "The file of a private key cannot be used, or fits another certificate."
    CertificateValidity Warning "certificate-validity"  "A certificate has expired, is not valid yet, or expires soon."
    UnusedCertificate   Warning "unused-certificate"    "A certificate or key is named, and no address that is served with it."
    NetworkOfTwoCustomers Error "network-of-two-customers" "The same network is listed for two customers."

    // Region table, clouds, databases.
    UnknownRegion       Error   "unknown-region"        "A region is not declared in the region table."
    RegionIsTier        Error   "region-is-tier"        "A region has the name of a tier, so that their names would collide."
    TooManyRegions      Error   "too-many-regions"      "There are more regions than the server supports."
    BadNetwork          Error   "bad-network"           "A network is not a prefix in CIDR notation."
    NetworkInTwoRegions Error   "network-in-two-regions" "The same network is listed twice."
    CloudInTwoRegions   Error   "cloud-in-two-regions"  "The same region of a cloud is listed twice."
    UnknownCloudList    Error   "unknown-cloud-list"    "A cloud list is not declared."
    UnknownCloudRegion  Error   "unknown-cloud-region"  "A cloud list has no such region."
    BadCloudList        Error   "bad-cloud-list"        "A file is not an address list of AWS, Azure or Google."
    BadDatabase         Error   "bad-database"          "A GeoIP database cannot be used."
    BadGeofeed          Error   "bad-geofeed"           "A line of a geofeed is not as RFC 8805 asks."

    // Zones.
    DuplicateZone       Error   "duplicate-zone"        "Two folders hold the same zone."
    NoZones             Warning "no-zones"              "The directory of zones holds no zone folder."
    EmptyZone           Error   "empty-zone"            "A zone folder holds neither zone.toml nor records.zone."
    NoSoa               Error   "no-soa"                "A zone has no SOA record."
    NoNs                Error   "no-ns"                 "A zone has no NS records."
    UnknownService      Error   "unknown-service"       "A service is not declared in zone.toml."
    UnknownTier         Error   "unknown-tier"          "A tier is not declared for its service."
    EqualPriority       Error   "equal-priority"        "Two tiers of a service have the same priority."
    ServiceWithoutTable Error   "service-without-table" "A service has no priority table and shares none."
    SharedTable         Error   "shared-table"          "A service shares a priority table that it cannot share."
    RegionWithoutRow    Error   "region-without-row"    "A region has no row, and there is no default row."
    EmptySet            Error   "empty-set"             "A list that needs an entry has none."
    TargetIsAddress     Error   "target-is-address"     "A target is an IP address instead of a host name."
    TargetIsAlias       Error   "target-is-alias"       "A target is a CNAME (RFC 2782, RFC 2181 section 10.3)."
    TargetWithoutAddress Error  "target-without-address" "A target in the zone has no address there."
    TwoOwners           Error   "two-owners"            "Two tables give the same RRset."
    CnameAndOther       Error   "cname-and-other-data"  "A CNAME stands beside other data (RFC 1034 section 3.6.2)."
    CnameLoop           Error   "cname-loop"            "CNAME records form a loop."
    NameTooLong         Error   "name-too-long"         "A name is longer than 255 octets."
    LabelTooLong        Error   "label-too-long"        "A label is longer than 63 octets."
    BadName             Error   "bad-name"              "A text is not a domain name."
    BadTtl              Error   "bad-ttl"               "A TTL is 0 or above 2147483647 (RFC 2181 section 8)."
    MixedTtl            Error   "mixed-ttl"             "The records of one RRset have different TTLs (RFC 2181 section 5.2)."
    OutsideZone         Error   "outside-zone"          "A record's owner is not in the zone."
    MasterSyntax        Error   "master-syntax"         "A master file entry cannot be read."
    BadRdata            Error   "bad-rdata"             "A record's data cannot be read as its type."
    MissingDot          Warning "missing-dot"           "A relative name ends with the zone's own name, as if its final dot were missing."
    DuplicateRecord     Warning "duplicate-record"      "A record is written twice."
    BelowCut            Warning "below-cut"             "A record below a delegation is not served."
    SetTooLarge         Error   "set-too-large"         "An RRset or name exceeds what a DNS message can carry."

    // What is served and will not do what was meant: the region table.
    DatabaseOld         Warning "database-old"          "A GeoIP database was built more than 45 days ago."
    CloudListOld        Warning "cloud-list-old"        "A cloud's address list was published more than 45 days ago."
    RegionUnreachable   Warning "region-unreachable"    "No client is placed in a region."
    RuleShadowed        Warning "rule-shadowed"         "A rule of the region table places nobody, because others always come first."
    RuleWithoutData     Warning "rule-without-data"     "A rule of the region table asks for what no database knows."
    CountryInTwoRegions Warning "country-in-two-regions" "A country is listed for two regions, and one of them never gets a client of it."

    // The same: services and their tiers.
    TtlShort            Warning "ttl-short"             "A service has a TTL below 30."
    TtlLong             Warning "ttl-long"              "A service or its NAPTR records have a TTL above 300."
    TierTtlNotFalling   Warning "tier-ttl-not-falling"  "A tier's TTL is not below that of the tier before it."
    NegativeTtl         Warning "negative-ttl"          "The negative TTL of a zone with services is below 11 or above 300."
    WeightZero          Warning "weight-zero"           "An endpoint that shares its tier with others has the weight 0."
    ManyTargets         Warning "many-targets"          "An answer has more than 8 SRV records."
    PortAgainstService  Warning "port-against-service"  "A service has the port of another transport."
    MissingTransport    Warning "missing-transport"     "A service lacks the sibling that some callers ask for instead."
    EqualEndpoints      Warning "equal-endpoints"       "Endpoints that differ by port are the same one in a service that shares the table."
    NaptrMismatch       Warning "naptr-mismatch"        "A NAPTR record says another service than the name it leads to."
    NaptrWithoutSrv     Warning "naptr-without-srv"     "A NAPTR record leads to a name without SRV records."
    AnswerOver512       Warning "answer-over-512"       "The records of an answer do not fit into 512 octets."
    AnswerOver1232      Warning "answer-over-1232"      "The records of an answer do not fit into 1232 octets."
    GlueLeftOut         Warning "glue-left-out"         "The addresses that go with an answer do not fit into 1232 octets."

    // The same: endpoints and where they are.
    RegionOnOneEndpoint Warning "region-on-one-endpoint" "One endpoint carries all tiers of a region."
    RegionOnOneNetwork  Warning "region-on-one-network" "One network (/24, /48) carries all tiers of a region."
    RegionOnOneAsn      Warning "region-on-one-asn"     "One autonomous system carries all tiers of a region."
    NoLastResort        Warning "no-last-resort"        "A region has no endpoint of another region to fall back on."
    SpecialAddress      Warning "special-address"       "A private or documentation address is published by a server in production."
    HostTtlShort        Warning "host-ttl-short"        "The addresses of a target have a lower TTL than the SRV records that name it."
    TargetWithoutIpv4   Warning "target-without-ipv4"   "A target has an IPv6 address only."
    NoApexAddress       Warning "no-apex-address"       "A zone with services has no IPv4 address for callers that look for no SRV records."

    // The same: name servers.
    OneNameServer       Warning "one-name-server"       "A zone has one name server only."
    DelegationWithoutGlue Warning "delegation-without-glue" "A name server of a delegated name is in the zone and has no address there."
    WildcardNs          Warning "wildcard-ns"           "NS records stand at a wildcard (RFC 4592 section 4.2)."
    NsCycle             Warning "ns-cycle"              "The name servers of zones are in zones that wait for each other."
}

impl Code {
    /// Returns what is done about it where the operator lets it through, as a
    /// lower-case fragment.
    pub fn excuse(self) -> &'static str {
        match self {
            Code::BadTtl => "it counts as 1",
            Code::CnameLoop => "it is served, and leads callers nowhere",
            Code::MixedTtl => "all get the lowest",
            Code::OutsideZone => "it is left out",
            _ => "it is served as it is",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_kebab_case() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        for name in &names {
            assert!(name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
