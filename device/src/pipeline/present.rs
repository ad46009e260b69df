//! The threads that show: one a display, each at its own speed.

use std::time::{Duration, Instant};

use super::OpenPanel;
use super::shared::{Now, Shared};
use crate::frame::Frame;
use crate::journal;
use crate::panel::{Ink, Panel, PanelError};
use crate::screen::{self, Explained, Live, Rank};
use crate::status::Part;
use crate::timing::{Recent, Stage};

/// How often a screen is drawn although nothing has changed, so that a display that was plugged in anew has a picture.
const REFRESH: Duration = Duration::from_secs(1);
/// How long after a failure a display is opened anew.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// A display and where it is.
pub(super) struct Presenter {
    /// The display's place among all of them.
    pub(super) index: usize,
    pub(super) address: String,
    pub(super) open: OpenPanel,
}

impl Presenter {
    fn part(&self) -> Part {
        Part::Panel(self.address.clone())
    }

    /// The loop of the thread. Ends with the program, and leaves a screen that says so.
    pub(super) fn run(mut self, shared: &Shared, first: Option<Box<dyn Panel>>) {
        let mut panel = first;
        loop {
            let opened = match panel.take() {
                Some(panel) => Ok(panel),
                None => (self.open)(),
            };
            let outcome = opened.and_then(|mut panel| Ok(self.show_all(shared, panel.as_mut())?));
            let Err(error) = outcome else { return };
            shared.fail(self.part(), &error.to_string());
            // Nobody waits for a display that is gone.
            shared.set_shown(self.index, u64::MAX);
            if !shared.sleep(REOPEN_AFTER) {
                return;
            }
        }
    }

    fn show_all(&self, shared: &Shared, panel: &mut dyn Panel) -> Result<(), PanelError> {
        let mut painter = Painter::new(panel);
        let mut last: Option<(Now, Instant)> = None;
        let mut has_shown = false;
        loop {
            let generation = last.as_ref().map(|(now, _)| now.generation);
            let now = shared.wait(REFRESH, |now| Some(now.generation) != generation);
            let keeps = panel.keeps_screens();
            if keeps && now.stopping {
                return Ok(());
            }
            let is_shown = last.as_ref().is_some_and(|(before, painted)| {
                now.looks_as(before) && (keeps || painted.elapsed() < REFRESH)
            });
            if is_shown || keeps && now.shown_picture().is_none() {
                shared.set_shown(self.index, now.insight_number());
                // Counted off, so that waiting goes on.
                let painted = last.map_or_else(Instant::now, |(_, painted)| painted);
                last = Some((now, painted));
                continue;
            }
            painter.paint(&now);
            let start = Instant::now();
            panel.show(&painter.frame)?;
            if !std::mem::replace(&mut has_shown, true) {
                // Not before: some are opened and take nothing, over and over.
                journal::note(&format!("display: {}", panel.description()));
            }
            painter.shown(start, shared, panel);
            shared.recover(&self.part());
            shared.set_shown(self.index, now.insight_number());
            if now.stopping {
                return Ok(());
            }
            last = Some((now, Instant::now()));
        }
    }
}

/// Draws screens for one display.
struct Painter {
    frame: Frame,
    ink: Ink,
    drawing: Recent,
    showing: Recent,
    last_draw: Duration,
}

impl Painter {
    fn new(panel: &dyn Panel) -> Self {
        Self {
            frame: Frame::new(panel.size()),
            ink: panel.ink(),
            drawing: Recent::default(),
            showing: Recent::default(),
            last_draw: Duration::ZERO,
        }
    }

    fn paint(&mut self, now: &Now) {
        let start = Instant::now();
        paint(now, self.ink, &mut self.frame);
        self.last_draw = start.elapsed();
    }

    /// Notes how long drawing and showing took.
    fn shown(&mut self, start: Instant, shared: &Shared, panel: &dyn Panel) {
        self.drawing.add(self.last_draw);
        self.showing.add(start.elapsed());
        let mut status = shared.status.lock();
        status.screens += 1;
        // Of several displays the largest counts.
        let pixels = panel.size().width * panel.size().height;
        if pixels >= status.largest_panel {
            status.largest_panel = pixels;
            for (stage, recent) in [(Stage::Draw, &self.drawing), (Stage::Show, &self.showing)] {
                status.latency_ms.extend(recent.quantiles().map(|quantiles| (stage, quantiles)));
            }
        }
    }
}

/// Draws what is known now for a kind of display.
pub(super) fn paint(now: &Now, ink: Ink, frame: &mut Frame) {
    let ranking: Vec<Rank<'_>> = now
        .insight
        .iter()
        .flat_map(|insight| insight.observation.top.iter().map(|entry| entry.rank()))
        .collect();
    let explained = now.insight.as_ref().map(|insight| Explained {
        class: insight.observation.explained.rank(),
        map: &insight.map,
    });
    let live = Live {
        picture: now.shown_picture().map(|picture| &picture.pixels),
        crop: now.insight.as_ref().map(|insight| insight.crop),
        explained,
        detected: now.insight.as_ref().is_none_or(|i| i.observation.detected.is_some()),
        ranking: &ranking,
        mode: now.view.mode,
        frozen: now.view.frozen,
        notice: now.notice.as_deref(),
        stopping: now.stopping,
    };
    let Ok(()) = match ink {
        Ink::Color => screen::draw_live(&live, frame),
        Ink::Monochrome => screen::draw_monochrome(&live, frame),
    };
}
