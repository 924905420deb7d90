//! The workers, and rounds of load on them. Connections live as long as the engine.
//!
//! Shell. What is heard goes to the caller, who alone decides what becomes of it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::load::clock;
use crate::load::fleet::Fleet;
use crate::load::round::{Heard, Round, Start};
use crate::load::worker::{self, Order};
use crate::transport::wire::WireSettings;

/// Running workers.
#[derive(Debug)]
pub struct Engine {
    orders: Vec<UnboundedSender<Order>>,
    threads: Vec<JoinHandle<()>>,
    fleet: Arc<Fleet>,
}

/// All arrivals of a schedule: the number over all lanes, and the conversation.
pub type Schedule = Box<dyn Iterator<Item = (u64, Start)> + Send>;

impl Engine {
    /// Starts the workers.
    pub fn start(
        count: usize,
        fleet: &Arc<Fleet>,
        settings: &Arc<WireSettings>,
    ) -> std::io::Result<Engine> {
        let mut engine = Engine {
            orders: Vec::new(),
            threads: Vec::new(),
            fleet: Arc::clone(fleet),
        };
        for index in 0..count {
            let (orders, given) = unbounded_channel();
            let (fleet, settings) = (Arc::clone(fleet), Arc::clone(settings));
            engine
                .threads
                .push(worker::start(index, count, fleet, settings, given)?);
            engine.orders.push(orders);
        }
        Ok(engine)
    }

    pub fn workers(&self) -> usize {
        self.orders.len()
    }

    /// Begins a round. It is over when the receiver ends.
    pub fn begin(
        &self,
        round: &Arc<Round>,
        schedule: Option<Schedule>,
    ) -> std::io::Result<Receiver<Heard>> {
        let (tell, heard) = channel();
        let mut starts = Vec::new();
        for orders in &self.orders {
            let (start, given) = unbounded_channel();
            let order = Order {
                round: Arc::clone(round),
                starts: given,
                tell: tell.clone(),
            };
            // A worker that is gone has panicked; the others go on, and its part is missing from the result.
            let _ = orders.send(order);
            starts.push(start);
        }
        if let Some(schedule) = schedule {
            clock::start(Arc::clone(&self.fleet), Arc::clone(round), schedule, starts)?;
        }
        Ok(heard)
    }

    /// Ends the workers.
    pub fn end(self) {
        drop(self.orders);
        for thread in self.threads {
            // A worker that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}
