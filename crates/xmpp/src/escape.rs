//! Character references and the five entities. To be filled in.
