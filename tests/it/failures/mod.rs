//! How a failure is named: tables of bodies, one class for each, what the mocks can produce, and what is
//! written about it.

mod bodies;
mod classes;
mod expected;
mod held_out;
mod retried;
