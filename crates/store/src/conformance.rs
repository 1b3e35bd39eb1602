//! One suite that every engine passes, generic over a factory of engines.
