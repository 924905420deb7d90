//! What a user, or a program that uses the library, sees. One binary for all.

mod recordings;
