//! What the view shows at a moment: a function of what was told and which keys were pressed. No terminal, no clock, no network.

use std::time::Duration;

use super::log::Log;
use super::pulse::Pulse;
use super::told::{CustomerPage, ModelStages, Passed, Told};
use crate::lifecycle::time::Timestamp;

/// A key, as far as the view knows keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A character.
    Character(char),
    /// To the transition above, or a line up.
    Up,
    /// To the transition below, or a line down.
    Down,
    /// To the model before.
    Left,
    /// To the model after.
    Right,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// Open, or done with writing.
    Enter,
    /// Back.
    Escape,
    /// Away with the last character.
    Backspace,
    /// The interrupt key.
    Interrupt,
}

/// What a key asks of the world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// End.
    Quit,
    /// Ask for this customer, now and then again while the page is open.
    Look(String),
    /// Ask for no customer any more.
    LookAway,
    /// Let time stand, or run again.
    Pause,
    /// Let time run quicker.
    Faster,
    /// Let time run slower.
    Slower,
}

/// How time runs for the customers, where the view rules it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// The customers' time.
    pub now: Timestamp,
    /// How much of it passes in a second, in seconds.
    pub speed: f64,
    /// Whether it stands.
    pub is_paused: bool,
}

/// What fills the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Page {
    /// Stages and transitions.
    Flow,
    /// A customer: the id, what is known, how many lines it is scrolled down.
    Customer { id: String, known: Known, scrolled: usize },
}

/// What is known of the customer who was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// Asked, not answered.
    Waiting,
    Page(Box<CustomerPage>),
    /// Nothing, and why.
    Nothing(String),
}

/// The view.
#[derive(Debug)]
pub struct View {
    /// What is viewed: a few words for the title.
    pub(super) subject: String,
    pub(super) models: Vec<ModelStages>,
    pub(super) model: usize,
    pub(super) pulse: Pulse,
    /// By model.
    pub(super) logs: Vec<Log>,
    pub(super) page: Page,
    /// The id that is being written.
    pub(super) writing: Option<String>,
    pub(super) has_help: bool,
    /// Whether what is shown stands although the service goes on.
    pub(super) is_frozen: bool,
    /// Where the view rules time.
    pub(super) pace: Option<Pace>,
    /// Why nothing is heard of the service.
    pub(super) silence: Option<String>,
    /// How many transitions passed that nobody could tell.
    pub(super) missed: u64,
    wanted: Option<String>,
}

/// The longest id that can be written.
const ID_CHARACTERS_MAX: usize = 256;

impl View {
    /// Nothing is told yet. `wanted` is the model to begin with, if it runs.
    #[must_use]
    pub fn new(subject: &str, wanted: Option<&str>) -> Self {
        Self {
            subject: subject.to_owned(),
            models: Vec::new(),
            model: 0,
            pulse: Pulse::default(),
            logs: Vec::new(),
            page: Page::Flow,
            writing: None,
            has_help: false,
            is_frozen: false,
            pace: None,
            silence: None,
            missed: 0,
            wanted: wanted.map(str::to_owned),
        }
    }

    /// Takes in what was told `now`.
    pub fn hear(&mut self, told: Told, now: Duration) {
        if !matches!(told, Told::Silence(_)) {
            self.silence = None;
        }
        match told {
            Told::Models(models) if models != self.models => self.begin(models),
            Told::Figures(figures) if !self.is_frozen => self.pulse.note(now, *figures),
            Told::Passed(passed, missed) if !self.is_frozen => {
                self.missed += missed;
                for passed in passed {
                    self.note(passed);
                }
            }
            Told::Models(_) | Told::Figures(_) | Told::Passed(..) => {}
            Told::Customer(told) => {
                if let Page::Customer { id, known, .. } = &mut self.page
                    && *id == told.customer_id
                {
                    *known = Known::Page(told);
                }
            }
            Told::NoCustomer(told, why) => {
                if let Page::Customer { id, known, .. } = &mut self.page
                    && *id == told
                {
                    *known = Known::Nothing(why);
                }
            }
            Told::Silence(why) => self.silence = Some(why),
        }
    }

    /// Lets time pass for what scrolls by; `pace` is how it runs for the customers, where the view rules that.
    pub fn pass(&mut self, now: Duration, pace: Option<Pace>) {
        self.pace = pace;
        if self.is_frozen {
            return;
        }
        for log in &mut self.logs {
            log.pass(now);
        }
    }

    fn begin(&mut self, models: Vec<ModelStages>) {
        let showing = self.models.get(self.model).map(|model| model.name.clone()).or_else(|| self.wanted.clone());
        self.model = models.iter().position(|model| Some(&model.name) == showing.as_ref()).unwrap_or_default();
        self.logs = models.iter().map(|_| Log::default()).collect();
        self.models = models;
    }

    fn note(&mut self, passed: Passed) {
        let model = self.models.iter().position(|model| model.name == passed.model);
        if let Some(log) = model.and_then(|model| self.logs.get_mut(model)) {
            log.note(passed);
        }
    }

    /// The model that is shown.
    pub(super) fn shown(&self) -> Option<(&ModelStages, &Log)> {
        self.models.get(self.model).zip(self.logs.get(self.model))
    }

    /// Does what a key says.
    pub fn press(&mut self, key: Key) -> Option<Wish> {
        if key == Key::Interrupt {
            return Some(Wish::Quit);
        }
        if self.has_help {
            self.has_help = false;
            return (key == Key::Character('q')).then_some(Wish::Quit);
        }
        if self.writing.is_some() {
            return self.write(key);
        }
        match key {
            Key::Character('q') => return Some(Wish::Quit),
            Key::Character('?' | 'h') => self.has_help = true,
            Key::Character('/') => self.writing = Some(String::new()),
            Key::Character('+' | '=') => return self.pace.map(|_| Wish::Faster),
            Key::Character('-' | '_') => return self.pace.map(|_| Wish::Slower),
            Key::Character(' ' | 'p') if self.pace.is_some() => return Some(Wish::Pause),
            Key::Character(' ' | 'p') => self.is_frozen = !self.is_frozen,
            _ => return self.turn(key),
        }
        None
    }

    /// What a key does on the page that is open.
    fn turn(&mut self, key: Key) -> Option<Wish> {
        if let Page::Customer { scrolled, .. } = &mut self.page {
            match key {
                Key::Up => *scrolled = scrolled.saturating_sub(1),
                Key::Down => *scrolled = scrolled.saturating_add(1),
                Key::PageUp => *scrolled = scrolled.saturating_sub(10),
                Key::PageDown => *scrolled = scrolled.saturating_add(10),
                Key::Escape | Key::Enter | Key::Backspace | Key::Left => {
                    self.page = Page::Flow;
                    return Some(Wish::LookAway);
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
                let id = log.chosen().or(log.latest())?.customer_id.clone();
                return Some(self.look(id));
            }
            _ => {
                let log = self.logs.get_mut(self.model)?;
                match key {
                    Key::Up => log.choose(-1),
                    Key::Down => log.choose(1),
                    Key::PageUp => log.choose(-10),
                    Key::PageDown => log.choose(10),
                    Key::Escape => log.follow(),
                    _ => {}
                }
            }
        }
        None
    }

    /// A key while an id is being written.
    fn write(&mut self, key: Key) -> Option<Wish> {
        let written = self.writing.as_mut()?;
        match key {
            Key::Character(character) if !character.is_control() && written.chars().count() < ID_CHARACTERS_MAX => {
                written.push(character);
            }
            Key::Backspace => drop(written.pop()),
            Key::Escape => self.writing = None,
            Key::Enter => {
                let id = written.trim().to_owned();
                self.writing = None;
                return (!id.is_empty()).then(|| self.look(id));
            }
            _ => {}
        }
        None
    }

    fn look(&mut self, id: String) -> Wish {
        self.page = Page::Customer { id: id.clone(), known: Known::Waiting, scrolled: 0 };
        Wish::Look(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::told::StageName;

    fn model(name: &str) -> ModelStages {
        let stages = vec![StageName { name: "active".to_owned(), is_outside: false }];
        ModelStages { name: name.to_owned(), title: name.to_owned(), stages }
    }

    fn passed(cursor: u64, customer: &str) -> Passed {
        Passed { cursor, customer_id: customer.to_owned(), model: "two".to_owned(), ..Passed::default() }
    }

    fn view() -> View {
        let mut view = View::new("demo", Some("two"));
        view.hear(Told::Models(vec![model("one"), model("two"), model("three")]), Duration::ZERO);
        view.hear(Told::Passed(vec![passed(1, "anna"), passed(2, "boris")], 3), Duration::ZERO);
        view.pass(Duration::from_secs(1), None);
        view
    }

    #[test]
    fn it_begins_with_the_wanted_model_and_goes_round() {
        let mut view = view();
        assert_eq!((view.model, view.missed), (1, 3));
        for (key, model) in
            [(Key::Right, 2), (Key::Right, 0), (Key::Left, 2), (Key::Character('1'), 0), (Key::Character('9'), 0)]
        {
            assert_eq!((view.press(key), view.model), (None, model));
        }
    }

    #[test]
    fn a_customer_is_picked_by_the_cursor_or_by_name() {
        let mut view = view();
        assert_eq!(view.press(Key::Enter), Some(Wish::Look("boris".to_owned())), "the latest, where none is chosen");
        assert_eq!(view.press(Key::Escape), Some(Wish::LookAway));
        assert_eq!((view.press(Key::Down), view.press(Key::Up)), (None, None));
        assert_eq!(view.press(Key::Enter), Some(Wish::Look("anna".to_owned())));
        assert_eq!(view.press(Key::Escape), Some(Wish::LookAway));
        assert_eq!(view.press(Key::Down), None);
        assert_eq!(view.press(Key::Enter), Some(Wish::Look("boris".to_owned())));
        view.hear(
            Told::Customer(Box::new(CustomerPage { customer_id: "anna".to_owned(), ..CustomerPage::default() })),
            Duration::ZERO,
        );
        assert!(matches!(&view.page, Page::Customer { known: Known::Waiting, .. }), "an answer about somebody else");
        assert_eq!(view.press(Key::Escape), Some(Wish::LookAway));
        for character in "/ zoë".chars() {
            assert_eq!(view.press(Key::Character(character)), None);
        }
        view.press(Key::Backspace);
        view.press(Key::Character('q'));
        assert_eq!(view.press(Key::Enter), Some(Wish::Look("zoq".to_owned())));
        view.hear(Told::NoCustomer("zoq".to_owned(), "unknown".to_owned()), Duration::ZERO);
        assert!(matches!(&view.page, Page::Customer { known: Known::Nothing(why), .. } if why == "unknown"));
    }

    #[test]
    fn without_a_clock_of_its_own_a_pause_freezes_the_picture() {
        let mut view = view();
        assert_eq!(view.press(Key::Character('+')), None);
        assert_eq!((view.press(Key::Character(' ')), view.is_frozen), (None, true));
        view.hear(Told::Passed(vec![passed(3, "carla")], 0), Duration::from_secs(2));
        assert_eq!(view.shown().map(|(_, log)| log.came), Some(2));
        view.pass(Duration::ZERO, Some(Pace { now: Timestamp::from_millis(0), speed: 1.0, is_paused: false }));
        assert_eq!(view.press(Key::Character(' ')), Some(Wish::Pause));
        assert_eq!(view.press(Key::Character('+')), Some(Wish::Faster));
        assert_eq!(view.press(Key::Character('-')), Some(Wish::Slower));
    }

    #[test]
    fn help_goes_with_any_key_and_the_end_is_always_near() {
        let mut view = view();
        view.press(Key::Character('?'));
        assert!(view.has_help);
        assert_eq!(view.press(Key::Down), None);
        assert!(!view.has_help);
        view.press(Key::Character('/'));
        assert_eq!(view.press(Key::Interrupt), Some(Wish::Quit));
        assert_eq!(view.press(Key::Character('q')), None, "written");
        view.press(Key::Escape);
        assert_eq!(view.press(Key::Character('q')), Some(Wish::Quit));
    }

    #[test]
    fn silence_is_told_until_something_is_heard() {
        let mut view = view();
        view.hear(Told::Silence("nobody there".to_owned()), Duration::ZERO);
        assert_eq!(view.silence.as_deref(), Some("nobody there"));
        view.hear(Told::Passed(Vec::new(), 0), Duration::ZERO);
        assert_eq!(view.silence, None);
    }
}
