//! `sameturn load` as a user runs it, against the built-in mocks and small servers of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sameturn::load::measure::Measure;
use serde_json::Value;

use crate::project::Project;
