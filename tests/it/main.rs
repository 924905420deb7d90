//! One binary for all tests of what a user does.

mod scenario;
