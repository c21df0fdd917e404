//! The operator's files, read into a checked model.

pub mod master;
pub mod model;
pub mod rdata;
mod tokens;
