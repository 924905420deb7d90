//! What a user does, in one binary.

mod constructed_run;

mod report;
mod store;
