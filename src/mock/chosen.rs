//! The script and the fault that a request selects, looked up by their names.
//!
//! Pure. It must never fall back to a good answer where a name is unknown.

use std::borrow::Cow;

use crate::mock::answer::Answer;
use crate::mock::data::{Api, MockData, Model};
use crate::mock::gap_fault::GapFault;
use crate::mock::http_fault::Does;
use crate::mock::mutate::WireFault;
use crate::mock::route::{Nowhere, Selection};
use crate::mock::script::Script;

/// The faults that a request asked for.
#[derive(Debug, Default)]
pub struct Chosen<'a> {
    pub error: Option<&'a str>,
    pub wire: Option<WireFault>,
    /// A row of the provider's errors, and for how many requests.
    pub first: Option<(&'a str, u32)>,
    pub closed: bool,
    pub silence: bool,
    pub no_items: bool,
    pub script: Option<&'a Script>,
    /// A difference that shows in this answer.
    pub gap: Option<&'a GapFault>,
}

impl Chosen<'_> {
    /// The request as the model hears it.
    pub fn heard<'b>(&self, body: &'b [u8]) -> Cow<'b, [u8]> {
        self.gap.map_or(Cow::Borrowed(body), |gap| gap.heard(body))
    }

    /// What the model says, as it leaves.
    pub fn said(&self, answer: Answer) -> Answer {
        match self.gap {
            Some(gap) => gap.said(answer),
            None => answer,
        }
    }

    /// The model as it behaves in this answer.
    pub fn model<'m>(&self, model: &'m Model) -> Cow<'m, Model> {
        self.gap
            .map_or(Cow::Borrowed(model), |gap| gap.model(model))
    }
}

/// Finds what the selection names, for an answer of this API to a request with this body.
pub fn choose<'a>(
    data: &'a MockData,
    selection: &Selection,
    api: Api,
    body: &[u8],
) -> Result<Chosen<'a>, Nowhere> {
    let mut chosen = Chosen::default();
    if let Some(name) = &selection.script {
        let found = data.scripts.get(name.as_str());
        chosen.script = Some(found.ok_or_else(|| Nowhere {
            what: "script",
            name: name.clone(),
            there_are: data.scripts.keys().cloned().collect(),
        })?);
    }
    let Some(name) = &selection.fault else {
        return Ok(chosen);
    };
    if let Some(fault) = data.http_faults.iter().find(|one| one.name == *name) {
        match &fault.does {
            Does::Error(id) => chosen.error = Some(id),
            Does::FirstTimes { error, times } => chosen.first = Some((error, *times)),
            Does::Closed => chosen.closed = true,
            Does::Silence => chosen.silence = true,
            Does::NoItems => chosen.no_items = true,
            Does::Stream(_) => chosen.wire = fault.as_wire(api),
        }
        return Ok(chosen);
    }
    let gaps = data.gap_faults.iter().filter(|one| one.concerns(api));
    if let Some(fault) = gaps.into_iter().find(|one| one.name == *name) {
        if fault.shows(body) {
            chosen.gap = Some(fault);
            chosen.wire = fault.as_wire(api);
            chosen.silence = fault.silence;
        }
        return Ok(chosen);
    }
    match data.stream_faults(api).iter().find(|one| one.name == *name) {
        Some(fault) => chosen.wire = Some(fault.clone()),
        None => {
            return Err(Nowhere {
                what: "fault",
                name: name.clone(),
                there_are: data
                    .fault_names(api)
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            });
        }
    }
    Ok(chosen)
}
