//! (this crate's first content is being written)
