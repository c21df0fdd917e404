//! The operator's files, read into a checked model.

pub mod model;
