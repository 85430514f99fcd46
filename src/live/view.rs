//! The state on display: a pure function of updates and pressed keys.
//!
//! Has no access to a terminal, a clock or the network. The caller passes the elapsed time and executes the returned
//! [`Action`]s.

use std::time::Duration;

use super::recent_metrics::RecentMetrics;
use super::transition_log::TransitionLog;
use super::update::{CustomerPage, ModelStages, TransitionRow, Update};
use crate::lifecycle::time::Timestamp;

/// A key that the view responds to. If a key has two meanings, the second one applies to the customer page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A printable character or tab.
    Character(char),
    /// Selects the transition above; scrolls up a line.
    Up,
    /// Selects the transition below; scrolls down a line.
    Down,
    /// Shows the previous model; goes back.
    Left,
    /// Shows the next model.
    Right,
    /// Moves the selection up by ten transitions; scrolls up ten lines.
    PageUp,
    /// Moves the selection down by ten transitions; scrolls down ten lines.
    PageDown,
    /// Opens the selected customer, or confirms the id being typed; goes back.
    Enter,
    /// Cancels the selection or the input; goes back.
    Escape,
    /// Deletes the last character of the id being typed; goes back.
    Backspace,
    /// Ctrl-C or Ctrl-D: quits from everywhere.
    Interrupt,
}

/// A side effect that a key requests from the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Leave the view.
    Quit,
    /// Request this customer, and refresh it until the page is closed.
    OpenCustomer(String),
    /// Stop requesting the customer.
    CloseCustomer,
    /// Pause the simulated clock, or resume it.
    TogglePause,
    /// Speed up the simulated clock.
    SpeedUp,
    /// Slow down the simulated clock.
    SlowDown,
}

/// State of the simulated clock, if this program controls one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ClockStatus {
    /// Simulated time.
    pub now: Timestamp,
    /// Simulated seconds per second of wall time.
    pub speed: f64,
    /// Whether the simulated clock is paused.
    pub is_paused: bool,
}

/// The page on display.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Page {
    /// Stages and transitions of the current model.
    Model,
    /// One customer; `scroll` is in lines.
    Customer { id: String, state: CustomerState, scroll: usize },
}

/// The state of a customer request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CustomerState {
    Loading,
    Loaded(Box<CustomerPage>),
    /// The service did not return the customer, and why.
    Unavailable(String),
}

/// The state from which a frame is drawn.
#[derive(Debug)]
pub struct View {
    /// Title of the view: `lifecycle demo`, or the address of the service.
    pub(super) title: String,
    pub(super) models: Vec<ModelStages>,
    /// Index of the current model.
    pub(super) model: usize,
    pub(super) metrics: RecentMetrics,
    /// One log per model, in the order of `models`.
    pub(super) logs: Vec<TransitionLog>,
    pub(super) page: Page,
    /// The customer id being typed; `None` while the prompt is closed.
    pub(super) id_input: Option<String>,
    pub(super) shows_help: bool,
    /// Whether updates of metrics and transitions are ignored.
    pub(super) is_frozen: bool,
    /// State of the simulated clock; `None` if this program does not control a clock.
    pub(super) clock_status: Option<ClockStatus>,
    /// Why the service does not respond; `None` while it does.
    pub(super) connection_error: Option<String>,
    /// Transitions that the service evicted before they could be read.
    pub(super) missed: u64,
    preferred_model: Option<String>,
}

/// Limit of a typed customer id, in characters.
const ID_CHARACTERS_MAX: usize = 256;

impl View {
    /// Creates a view without data. It starts with `preferred_model` if that model runs, else with the first model.
    #[must_use]
    pub fn new(title: &str, preferred_model: Option<&str>) -> Self {
        Self {
            title: title.to_owned(),
            models: Vec::new(),
            model: 0,
            metrics: RecentMetrics::default(),
            logs: Vec::new(),
            page: Page::Model,
            id_input: None,
            shows_help: false,
            is_frozen: false,
            clock_status: None,
            connection_error: None,
            missed: 0,
            preferred_model: preferred_model.map(str::to_owned),
        }
    }

    /// Applies an update received at `now`.
    pub fn apply(&mut self, update: Update, now: Duration) {
        if !matches!(update, Update::Disconnected(_)) {
            self.connection_error = None;
        }
        match update {
            Update::Models(models) if models != self.models => self.set_models(models),
            Update::Overview(overview) if !self.is_frozen => self.metrics.add(now, *overview),
            Update::Transitions(rows, missed) if !self.is_frozen => {
                self.missed += missed;
                for row in rows {
                    self.log_transition(row);
                }
            }
            Update::Models(_) | Update::Overview(_) | Update::Transitions(..) => {}
            Update::Customer(loaded) => {
                if let Page::Customer { id, state, .. } = &mut self.page
                    && *id == loaded.customer_id
                {
                    *state = CustomerState::Loaded(loaded);
                }
            }
            Update::CustomerUnavailable(customer_id, why) => {
                if let Page::Customer { id, state, .. } = &mut self.page
                    && *id == customer_id
                {
                    *state = CustomerState::Unavailable(why);
                }
            }
            Update::Disconnected(why) => self.connection_error = Some(why),
        }
    }

    /// Advances the scrolling logs to `now` and updates the simulated clock.
    pub fn tick(&mut self, now: Duration, clock_status: Option<ClockStatus>) {
        self.clock_status = clock_status;
        if self.is_frozen {
            return;
        }
        for log in &mut self.logs {
            log.display_sample(now);
        }
    }

    /// Replaces the models and their logs, and stays on the current model if it still runs.
    fn set_models(&mut self, models: Vec<ModelStages>) {
        let current =
            self.models.get(self.model).map(|model| model.name.clone()).or_else(|| self.preferred_model.clone());
        self.model = models.iter().position(|model| Some(&model.name) == current.as_ref()).unwrap_or_default();
        self.logs = models.iter().map(|_| TransitionLog::default()).collect();
        self.models = models;
    }

    fn log_transition(&mut self, row: TransitionRow) {
        let model = self.models.iter().position(|model| model.name == row.model);
        if let Some(log) = model.and_then(|model| self.logs.get_mut(model)) {
            log.push(row);
        }
    }

    /// Returns the current model and its log; `None` before the first [`Update::Models`].
    pub(super) fn current_model(&self) -> Option<(&ModelStages, &TransitionLog)> {
        self.models.get(self.model).zip(self.logs.get(self.model))
    }

    /// Handles a key and returns the side effect that it requests.
    pub fn press(&mut self, key: Key) -> Option<Action> {
        if key == Key::Interrupt {
            return Some(Action::Quit);
        }
        if self.shows_help {
            self.shows_help = false;
            return (key == Key::Character('q')).then_some(Action::Quit);
        }
        if self.id_input.is_some() {
            return self.edit_id(key);
        }
        match key {
            Key::Character('q') => return Some(Action::Quit),
            Key::Character('?' | 'h') => self.shows_help = true,
            Key::Character('/') => self.id_input = Some(String::new()),
            Key::Character('+' | '=') => return self.clock_status.map(|_| Action::SpeedUp),
            Key::Character('-' | '_') => return self.clock_status.map(|_| Action::SlowDown),
            Key::Character(' ' | 'p') if self.clock_status.is_some() => return Some(Action::TogglePause),
            Key::Character(' ' | 'p') => self.is_frozen = !self.is_frozen,
            _ => return self.press_on_page(key),
        }
        None
    }

    /// Handles a key whose meaning depends on the current page.
    fn press_on_page(&mut self, key: Key) -> Option<Action> {
        if let Page::Customer { scroll, .. } = &mut self.page {
            match key {
                Key::Up => *scroll = scroll.saturating_sub(1),
                Key::Down => *scroll = scroll.saturating_add(1),
                Key::PageUp => *scroll = scroll.saturating_sub(10),
                Key::PageDown => *scroll = scroll.saturating_add(10),
                Key::Escape | Key::Enter | Key::Backspace | Key::Left => {
                    self.page = Page::Model;
                    return Some(Action::CloseCustomer);
                }
                _ => {}
            }
            return None;
        }
        let count = self.models.len().max(1);
        match key {
            Key::Right | Key::Character('\t') => self.model = (self.model + 1) % count,
            Key::Left => self.model = (self.model + count - 1) % count,
            Key::Character(digit @ '1'..='9') => {
                let model = digit as usize - '1' as usize;
                self.model = if model < self.models.len() { model } else { self.model };
            }
            Key::Enter => {
                let log = self.logs.get(self.model)?;
                let id = log.selected().or(log.latest())?.customer_id.clone();
                return Some(self.open_customer(id));
            }
            _ => {
                let log = self.logs.get_mut(self.model)?;
                match key {
                    Key::Up => log.move_selection(-1),
                    Key::Down => log.move_selection(1),
                    Key::PageUp => log.move_selection(-10),
                    Key::PageDown => log.move_selection(10),
                    Key::Escape => log.clear_selection(),
                    _ => {}
                }
            }
        }
        None
    }

    /// Handles a key while a customer id is being typed.
    fn edit_id(&mut self, key: Key) -> Option<Action> {
        let input = self.id_input.as_mut()?;
        match key {
            Key::Character(character) if !character.is_control() && input.chars().count() < ID_CHARACTERS_MAX => {
                input.push(character);
            }
            Key::Backspace => drop(input.pop()),
            Key::Escape => self.id_input = None,
            Key::Enter => {
                let id = input.trim().to_owned();
                self.id_input = None;
                return (!id.is_empty()).then(|| self.open_customer(id));
            }
            _ => {}
        }
        None
    }

    fn open_customer(&mut self, id: String) -> Action {
        self.page = Page::Customer { id: id.clone(), state: CustomerState::Loading, scroll: 0 };
        Action::OpenCustomer(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::update::ModelStage;

    fn model(name: &str) -> ModelStages {
        let stages = vec![ModelStage { name: "active".to_owned(), is_outside: false }];
        ModelStages { name: name.to_owned(), title: name.to_owned(), stages }
    }

    fn transition(cursor: u64, customer: &str) -> TransitionRow {
        TransitionRow { cursor, customer_id: customer.to_owned(), model: "two".to_owned(), ..TransitionRow::default() }
    }

    fn view() -> View {
        let mut view = View::new("demo", Some("two"));
        view.apply(Update::Models(vec![model("one"), model("two"), model("three")]), Duration::ZERO);
        view.apply(Update::Transitions(vec![transition(1, "anna"), transition(2, "boris")], 3), Duration::ZERO);
        view.tick(Duration::from_secs(1), None);
        view
    }

    #[test]
    fn it_starts_with_the_preferred_model_and_wraps_around() {
        let mut view = view();
        assert_eq!((view.model, view.missed), (1, 3));
        for (key, model) in
            [(Key::Right, 2), (Key::Right, 0), (Key::Left, 2), (Key::Character('1'), 0), (Key::Character('9'), 0)]
        {
            assert_eq!((view.press(key), view.model), (None, model));
        }
    }

    #[test]
    fn a_customer_is_opened_by_selection_or_by_id() {
        let mut view = view();
        assert_eq!(
            view.press(Key::Enter),
            Some(Action::OpenCustomer("boris".to_owned())),
            "the latest one if none is selected"
        );
        assert_eq!(view.press(Key::Escape), Some(Action::CloseCustomer));
        assert_eq!((view.press(Key::Down), view.press(Key::Up)), (None, None));
        assert_eq!(view.press(Key::Enter), Some(Action::OpenCustomer("anna".to_owned())));
        assert_eq!(view.press(Key::Escape), Some(Action::CloseCustomer));
        assert_eq!(view.press(Key::Down), None);
        assert_eq!(view.press(Key::Enter), Some(Action::OpenCustomer("boris".to_owned())));
        view.apply(
            Update::Customer(Box::new(CustomerPage { customer_id: "anna".to_owned(), ..CustomerPage::default() })),
            Duration::ZERO,
        );
        assert!(
            matches!(&view.page, Page::Customer { state: CustomerState::Loading, .. }),
            "a response about another customer"
        );
        assert_eq!(view.press(Key::Escape), Some(Action::CloseCustomer));
        for character in "/ zoë".chars() {
            assert_eq!(view.press(Key::Character(character)), None);
        }
        view.press(Key::Backspace);
        view.press(Key::Character('q'));
        assert_eq!(view.press(Key::Enter), Some(Action::OpenCustomer("zoq".to_owned())));
        view.apply(Update::CustomerUnavailable("zoq".to_owned(), "unknown".to_owned()), Duration::ZERO);
        assert!(
            matches!(&view.page, Page::Customer { state: CustomerState::Unavailable(why), .. } if why == "unknown")
        );
    }

    #[test]
    fn without_control_of_the_clock_a_pause_freezes_the_view() {
        let mut view = view();
        assert_eq!(view.press(Key::Character('+')), None);
        assert_eq!((view.press(Key::Character(' ')), view.is_frozen), (None, true));
        view.apply(Update::Transitions(vec![transition(3, "carla")], 0), Duration::from_secs(2));
        assert_eq!(view.current_model().map(|(_, log)| log.received), Some(2));
        view.tick(Duration::ZERO, Some(ClockStatus { now: Timestamp::from_millis(0), speed: 1.0, is_paused: false }));
        assert_eq!(view.press(Key::Character(' ')), Some(Action::TogglePause));
        assert_eq!(view.press(Key::Character('+')), Some(Action::SpeedUp));
        assert_eq!(view.press(Key::Character('-')), Some(Action::SlowDown));
    }

    #[test]
    fn any_key_closes_the_help_and_interrupt_always_quits() {
        let mut view = view();
        view.press(Key::Character('?'));
        assert!(view.shows_help);
        assert_eq!(view.press(Key::Down), None);
        assert!(!view.shows_help);
        view.press(Key::Character('/'));
        assert_eq!(view.press(Key::Interrupt), Some(Action::Quit));
        assert_eq!(view.press(Key::Character('q')), None, "typed into the prompt");
        view.press(Key::Escape);
        assert_eq!(view.press(Key::Character('q')), Some(Action::Quit));
    }

    #[test]
    fn a_connection_error_is_shown_until_the_next_update() {
        let mut view = view();
        view.apply(Update::Disconnected("connection refused".to_owned()), Duration::ZERO);
        assert_eq!(view.connection_error.as_deref(), Some("connection refused"));
        view.apply(Update::Transitions(Vec::new(), 0), Duration::ZERO);
        assert_eq!(view.connection_error, None);
    }
}
