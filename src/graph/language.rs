//! Labels of diagrams in the languages of the shipped models.
//!
//! Contains every translated text, including plural forms and phrases such as `90 days after the last order`.

use crate::lifecycle::model::Direction;
use crate::lifecycle::time::Duration;

/// Language of the labels of a diagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Language {
    /// `en`.
    #[default]
    English,
    /// `ru`.
    Russian,
    /// `fi`.
    Finnish,
    /// `uk`.
    Ukrainian,
}

/// A fixed text of a diagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phrase {
    AnyStage,
    NoStage,
    By,
    Time,
    Version,
    AtAnyStage,
    OtherOutputs,
    Signal,
    Milestone,
    Counter,
    ByTime,
    Outside,
}

impl Language {
    /// ISO 639-1 code, the key of titles in a model.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
            Self::Finnish => "fi",
            Self::Ukrainian => "uk",
        }
    }

    /// Selects the text of this language. The texts are in English, Russian, Finnish and Ukrainian, in this order.
    fn pick<T>(self, of: [T; 4]) -> T {
        let [english, russian, finnish, ukrainian] = of;
        match self {
            Self::English => english,
            Self::Russian => russian,
            Self::Finnish => finnish,
            Self::Ukrainian => ukrainian,
        }
    }

    /// Returns `phrase` in this language.
    pub(super) fn translate(self, phrase: Phrase) -> &'static str {
        self.pick(match phrase {
            Phrase::AnyStage => ["any stage", "любая стадия", "mikä tahansa vaihe", "будь-яка стадія"],
            Phrase::NoStage => ["no stage", "без стадии", "ei vaihetta", "без стадії"],
            Phrase::By => ["by", "из-за", "syynä", "через"],
            Phrase::Time => ["time", "времени", "aika", "час"],
            Phrase::Version => ["version", "версия", "versio", "версія"],
            Phrase::AtAnyStage => [
                "Not tied to one stage",
                "Не только из одной стадии",
                "Ei sidottu yhteen vaiheeseen",
                "Не лише з однієї стадії",
            ],
            Phrase::OtherOutputs => [
                "Published in addition to the stages",
                "Публикуется помимо стадий",
                "Julkaistaan vaiheiden ohella",
                "Публікується поряд зі стадіями",
            ],
            Phrase::Signal => ["signal", "сигнал", "signaali", "сигнал"],
            Phrase::Milestone => ["milestone", "веха", "virstanpylväs", "віха"],
            Phrase::Counter => ["counter", "счётчик", "laskuri", "лічильник"],
            Phrase::ByTime => ["by time alone", "само, со временем", "ajan kuluessa itsestään", "само, з часом"],
            Phrase::Outside => ["outside the journey", "вне пути", "polun ulkopuolella", "поза шляхом"],
        })
    }

    pub(super) fn direction(self, direction: Direction) -> &'static str {
        self.pick(match direction {
            Direction::Forward => ["forward", "вперёд", "eteenpäin", "вперед"],
            Direction::Backward => ["backward", "назад", "taaksepäin", "назад"],
            Direction::Exit => ["exit", "выход", "poistuminen", "вихід"],
            Direction::Reentry => ["re-entry", "возврат", "paluu", "повернення"],
        })
    }

    /// Formats durations after a start: `90 or 180 days after the last order`.
    pub(super) fn after(self, lengths: &[Duration], start: &CountedFrom) -> String {
        let (or, last) = (self.pick(["or", "или", "tai", "або"]), lengths.last());
        let (unit, _) = last.map_or((DAY, 0), |length| unit_of(*length));
        let has_one_unit = lengths.iter().all(|length| unit_of(*length).0 == unit);
        let numbers = lengths.iter().enumerate().map(|(index, &length)| {
            let (unit, number) = unit_of(length);
            // Prints a common unit once, after the last number.
            if has_one_unit && index + 1 < lengths.len() {
                number.to_string()
            } else {
                format!("{number} {}", self.unit(unit, number))
            }
        });
        let length = numbers.collect::<Vec<_>>().join(&format!(" {or} "));
        let start = match start {
            CountedFrom::FirstOrder => self
                .pick([
                    "after the first order",
                    "после первого заказа",
                    "ensimmäisestä tilauksesta",
                    "після першого замовлення",
                ])
                .to_owned(),
            CountedFrom::LastOrder => self
                .pick([
                    "after the last order",
                    "после последнего заказа",
                    "viimeisestä tilauksesta",
                    "після останнього замовлення",
                ])
                .to_owned(),
            CountedFrom::First(group) => {
                let words = self.pick(["after the first", "после первого", "ensimmäisestä:", "після першого"]);
                format!("{words} {group}")
            }
            CountedFrom::Last(group) => {
                let words = self.pick(["after the last", "после последнего", "viimeisestä:", "після останнього"]);
                format!("{words} {group}")
            }
            CountedFrom::Fact(name) => format!("{} {name}", self.pick(["after", "после", "hetkestä", "після"])),
        };
        format!("{length} {start}")
    }

    fn unit(self, unit: i64, number: i64) -> &'static str {
        // Plural form: one, few (2 to 4), many. English and Finnish have only one and many.
        let form = match (self, number % 10, number % 100) {
            (Self::English | Self::Finnish, ..) => usize::from(number != 1) * 2,
            (_, 1, tens) if tens != 11 => 0,
            (_, 2..=4, tens) if !(12..=14).contains(&tens) => 1,
            _ => 2,
        };
        let words = match unit {
            DAY => [["day", "", "days"], ["день", "дня", "дней"], ["päivä", "", "päivää"], ["день", "дні", "днів"]],
            HOUR => [
                ["hour", "", "hours"],
                ["час", "часа", "часов"],
                ["tunti", "", "tuntia"],
                ["година", "години", "годин"],
            ],
            MINUTE => [
                ["minute", "", "minutes"],
                ["минута", "минуты", "минут"],
                ["minuutti", "", "minuuttia"],
                ["хвилина", "хвилини", "хвилин"],
            ],
            _ => [
                ["second", "", "seconds"],
                ["секунда", "секунды", "секунд"],
                ["sekunti", "", "sekuntia"],
                ["секунда", "секунди", "секунд"],
            ],
        };
        self.pick(words)[form]
    }
}

/// The instant from which a deadline is counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum CountedFrom {
    FirstOrder,
    LastOrder,
    /// The first touchpoint of a group.
    First(Box<str>),
    /// The last touchpoint of a group.
    Last(Box<str>),
    /// Another fact.
    Fact(Box<str>),
}

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
const SECOND: i64 = 1000;

/// Returns the largest unit that divides `length`, and the number of units. One day is expressed as 24 hours.
fn unit_of(length: Duration) -> (i64, i64) {
    let millis = length.as_millis();
    let is_one_day = millis == DAY;
    let unit = [DAY, HOUR, MINUTE].into_iter().find(|&unit| millis % unit == 0 && !(unit == DAY && is_one_day));
    let unit = unit.unwrap_or(SECOND);
    (unit, millis / unit)
}
