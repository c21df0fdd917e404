//! The `trunkdns` command.
fn main() {}
