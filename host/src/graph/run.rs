//! How a graph computes what is asked for, and nothing else.

use std::collections::{HashMap, HashSet};

use tch::{Device, TchError, Tensor};

use super::operator::Inputs;
use super::{Batching, Graph, Precision, RunError, ValueId, layout, precision, stand_in};

impl Graph {
    /// Computes `wanted` from `feeds`, and nothing else.
    ///
    /// A fed inner value is taken as it is: what makes it is not run. Where the network cannot take several
    /// pictures at once, or they are too many for the caches of a CPU, the feeds are split along their first
    /// dimension and the results joined.
    ///
    /// # Errors
    /// Returns [`RunError`] naming the node that failed, or a value that the feeds do not determine.
    pub fn run(
        &self,
        feeds: &[(ValueId, &Tensor)],
        wanted: &[ValueId],
    ) -> Result<Vec<Tensor>, RunError> {
        self.run_in(Precision::Float, feeds, wanted)
    }

    /// The same in a precision; what is wanted comes in 32 bits.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_in(
        &self,
        precision: Precision,
        feeds: &[(ValueId, &Tensor)],
        wanted: &[ValueId],
    ) -> Result<Vec<Tensor>, RunError> {
        // Feature maps that are fed have few nodes behind them: the copy would not pay.
        let is_input = |id: ValueId| self.inputs.iter().any(|input| input.value == id);
        let lay_out = |(id, tensor): &(ValueId, &Tensor)| {
            if !is_input(*id) {
                return Ok(tensor.shallow_clone());
            }
            layout::channels_last(tensor).map_err(|error| self.failed(*id, error))
        };
        let laid_out: Vec<Tensor> = feeds.iter().map(lay_out).collect::<Result<_, _>>()?;
        let feeds: Vec<_> = feeds.iter().zip(&laid_out).map(|(feed, t)| (feed.0, t)).collect();
        let batch =
            feeds.first().map_or(1, |(_, tensor)| tensor.size().first().copied().unwrap_or(1));
        let at_once = self.pictures_at_once(&feeds, batch);
        if batch <= at_once {
            return self.run_once(precision, &feeds, wanted);
        }
        let mut parts: Vec<Vec<Tensor>> = wanted.iter().map(|_| Vec::new()).collect();
        for start in (0..batch).step_by(usize::try_from(at_once).unwrap_or(1)) {
            let length = at_once.min(batch - start);
            let part = |(id, tensor): &(ValueId, &Tensor)| {
                tensor.f_narrow(0, start, length).map_err(|error| self.failed(*id, error))
            };
            let part: Vec<Tensor> = feeds.iter().map(part).collect::<Result<_, _>>()?;
            let feeds: Vec<_> = feeds.iter().zip(&part).map(|(f, part)| (f.0, part)).collect();
            for (part, value) in parts.iter_mut().zip(self.run_once(precision, &feeds, wanted)?) {
                part.push(value);
            }
        }
        let join = |(part, id): (&Vec<Tensor>, &ValueId)| {
            Tensor::f_cat(part, 0).map_err(|error| self.failed(*id, error))
        };
        parts.iter().zip(wanted).map(join).collect()
    }

    fn failed(&self, id: ValueId, error: TchError) -> RunError {
        RunError::new(&self.names[id.0], error.into())
    }

    fn pictures_at_once(&self, feeds: &[(ValueId, &Tensor)], batch: i64) -> i64 {
        /// What is fed to a CPU at once. Measured with EfficientNet-Lite0: from 16 pictures of 0.6 MB on, the
        /// allocator gives its memory back after each node, and half of the time goes into asking again.
        const BYTES_AT_ONCE: usize = 4 << 20;
        if self.batching == Batching::OneByOne {
            return 1;
        }
        if self.device != Device::Cpu {
            return batch;
        }
        let bytes: usize = feeds.iter().map(|(_, tensor)| 4 * tensor.numel()).sum();
        let picture = bytes / usize::try_from(batch.max(1)).unwrap_or(1);
        i64::try_from(BYTES_AT_ONCE / picture.max(1)).unwrap_or(batch).max(1)
    }

    pub(super) fn run_once(
        &self,
        precision: Precision,
        feeds: &[(ValueId, &Tensor)],
        wanted: &[ValueId],
    ) -> Result<Vec<Tensor>, RunError> {
        let fed: HashSet<ValueId> = feeds.iter().map(|feed| feed.0).collect();
        let (needed, mut uses) = self.needed(&fed, wanted);
        let mut values: HashMap<ValueId, Tensor> =
            feeds.iter().map(|(id, tensor)| (*id, tensor.shallow_clone())).collect();
        values.extend(stand_in::stand_ins(self, &needed, feeds));
        for index in needed {
            let node = &self.nodes[index];
            self.compute(precision, index, &mut values)?;
            for id in node.inputs.iter().flatten().chain(&node.outputs) {
                let used_up = uses.get(id).is_none_or(|&last| last <= index);
                if used_up && !wanted.contains(id) {
                    values.remove(id);
                }
            }
            for id in node.inputs.iter().flatten() {
                if uses.get(id) == Some(&index) {
                    uses.remove(id);
                }
            }
        }
        let widened = |&id: &ValueId| {
            precision::widen(self.look_up(&values, id)?).map_err(|error| self.failed(id, error))
        };
        wanted.iter().map(widened).collect()
    }

    /// Lists the nodes that `wanted` depends on beyond what is fed, in order, and for each value the last
    /// of them that reads it.
    pub(super) fn needed(
        &self,
        fed: &HashSet<ValueId>,
        wanted: &[ValueId],
    ) -> (Vec<usize>, HashMap<ValueId, usize>) {
        let known = |id: &ValueId| fed.contains(id) || self.constants.contains_key(id);
        let mut open: HashSet<ValueId> = wanted.iter().copied().filter(|id| !known(id)).collect();
        let mut last_use = HashMap::new();
        let mut needed = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if !node.outputs.iter().any(|id| open.contains(id)) {
                continue;
            }
            needed.push(index);
            for &id in node.inputs.iter().flatten() {
                last_use.entry(id).or_insert(index);
                if !known(&id) {
                    open.insert(id);
                }
            }
        }
        needed.reverse();
        (needed, last_use)
    }

    pub(super) fn compute(
        &self,
        precision: Precision,
        index: usize,
        values: &mut HashMap<ValueId, Tensor>,
    ) -> Result<(), RunError> {
        let node = &self.nodes[index];
        let narrows = precision.narrows(&node.op_type);
        let input = |&id: &ValueId| {
            let tensor = self.look_up(values, id)?;
            let narrowed =
                if narrows { precision::narrow(tensor) } else { Ok(tensor.shallow_clone()) };
            narrowed.map_err(|error| self.failed(id, error))
        };
        let inputs: Vec<Option<Tensor>> = node
            .inputs
            .iter()
            .map(|id| id.as_ref().map(input).transpose())
            .collect::<Result<_, _>>()?;
        let outputs = self.operators[index](&Inputs(inputs.iter().map(Option::as_ref).collect()))
            .map_err(|problem| RunError::new(&node.title, problem))?;
        for (&id, output) in node.outputs.iter().zip(outputs) {
            // A fed value stays what was fed, even if another output of its node is needed.
            values.entry(id).or_insert(output);
        }
        Ok(())
    }

    fn look_up<'a>(
        &'a self,
        values: &'a HashMap<ValueId, Tensor>,
        id: ValueId,
    ) -> Result<&'a Tensor, RunError> {
        values
            .get(&id)
            .or_else(|| self.constants.get(&id))
            .ok_or_else(|| RunError::Undetermined { value: self.names[id.0].clone() })
    }
}
