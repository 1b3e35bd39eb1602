//! Scanning primitives. To be filled in.
