//! The DNS message format: names, queries in, responses out.
//!
//! Nothing here knows of zones, regions or sockets, and nothing here fails
//! on hostile octets other than by saying so.

mod name;
mod rtype;

pub use self::name::{Name, NameError};
pub use self::rtype::Rtype;
