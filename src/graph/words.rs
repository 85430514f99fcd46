//! The words that pictures are labelled with, in the languages of the shipped models.

use crate::lifecycle::model::Direction;
use crate::lifecycle::time::Duration;

/// A language that pictures can be labelled in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Russian.
    Russian,
    /// Finnish.
    Finnish,
    /// Ukrainian.
    Ukrainian,
}

/// What a picture says beside the names of the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phrase {
    AnyStage,
    NoStage,
    By,
    Time,
    Version,
    AtAnyStage,
    Beside,
    Signal,
    Milestone,
    Counter,
    ByTime,
    Outside,
}

impl Language {
    /// The code by which titles are looked up.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
            Self::Finnish => "fi",
            Self::Ukrainian => "uk",
        }
    }

    /// English, Russian, Finnish or Ukrainian, in this order.
    fn pick<T>(self, of: [T; 4]) -> T {
        let [english, russian, finnish, ukrainian] = of;
        match self {
            Self::English => english,
            Self::Russian => russian,
            Self::Finnish => finnish,
            Self::Ukrainian => ukrainian,
        }
    }

    pub(super) fn say(self, phrase: Phrase) -> &'static str {
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
            Phrase::Beside => [
                "Published beside the stages",
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

    /// "90 or 180 days after the last order".
    pub(super) fn after(self, lengths: &[Duration], start: &Start) -> String {
        let (or, last) = (self.pick(["or", "или", "tai", "або"]), lengths.last());
        let (unit, _) = last.map_or((DAY, 0), |length| unit_of(*length));
        let has_one_unit = lengths.iter().all(|length| unit_of(*length).0 == unit);
        let numbers = lengths.iter().enumerate().map(|(index, &length)| {
            let (unit, number) = unit_of(length);
            // The unit is said once, when it is the same for all.
            if has_one_unit && index + 1 < lengths.len() {
                number.to_string()
            } else {
                format!("{number} {}", self.unit(unit, number))
            }
        });
        let length = numbers.collect::<Vec<_>>().join(&format!(" {or} "));
        let start = match start {
            Start::FirstOrder => self
                .pick([
                    "after the first order",
                    "после первого заказа",
                    "ensimmäisestä tilauksesta",
                    "після першого замовлення",
                ])
                .to_owned(),
            Start::LastOrder => self
                .pick([
                    "after the last order",
                    "после последнего заказа",
                    "viimeisestä tilauksesta",
                    "після останнього замовлення",
                ])
                .to_owned(),
            Start::First(group) => {
                let words = self.pick(["after the first", "после первого", "ensimmäisestä:", "після першого"]);
                format!("{words} {group}")
            }
            Start::Last(group) => {
                let words = self.pick(["after the last", "после последнего", "viimeisestä:", "після останнього"]);
                format!("{words} {group}")
            }
            Start::Fact(name) => format!("{} {name}", self.pick(["after", "после", "hetkestä", "після"])),
        };
        format!("{length} {start}")
    }

    fn unit(self, unit: i64, number: i64) -> &'static str {
        // One, few (2 to 4), many; Finnish counts in the partitive, English knows one and many.
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

/// From which time a length is counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Start {
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

/// The largest unit that divides `length` (a day when it is more than two days), and how many of it.
fn unit_of(length: Duration) -> (i64, i64) {
    let millis = length.as_millis();
    let is_told_in_hours = millis == DAY;
    let unit = [DAY, HOUR, MINUTE].into_iter().find(|&unit| millis % unit == 0 && !(unit == DAY && is_told_in_hours));
    let unit = unit.unwrap_or(SECOND);
    (unit, millis / unit)
}
