//! What a user does, one file per room; one binary, so that it is linked once.

mod auth;
