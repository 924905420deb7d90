//! stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}
impl Shard {
    pub fn whole() -> Shard {
        Shard { index: 0, count: 1 }
    }
    pub fn index(&self) -> u32 {
        self.index
    }
    pub fn count(&self) -> u32 {
        self.count
    }
    pub fn takes(&self, number: u64) -> bool {
        number % u64::from(self.count) == u64::from(self.index)
    }
}
