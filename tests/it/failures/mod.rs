//! How a failure is named: tables of bodies, one class for each, and what the mocks can produce.

mod bodies;
