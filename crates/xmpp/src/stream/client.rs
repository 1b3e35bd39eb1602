//! The client's side of a negotiation: for our own client and tests. To be filled in.
