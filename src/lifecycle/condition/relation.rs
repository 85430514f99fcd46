//! The six comparison operators, each as a set of orderings: `>=` is the set of "equal" and "greater".

use std::cmp::Ordering;

/// `==`, `!=`, `<`, `<=`, `>` or `>=`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Relation(u8);

impl Relation {
    /// `<`
    pub const LESS: Self = Self(0b001);
    /// `==`
    pub const EQUAL: Self = Self(0b010);
    /// `>`
    pub const GREATER: Self = Self(0b100);
    /// `<=`
    pub const LESS_OR_EQUAL: Self = Self(0b011);
    /// `>=`
    pub const GREATER_OR_EQUAL: Self = Self(0b110);
    /// `!=`
    pub const NOT_EQUAL: Self = Self(0b101);

    /// Whether the relation holds for two values with this ordering.
    #[inline]
    #[must_use]
    pub const fn holds(self, ordering: Ordering) -> bool {
        self.0 & 1 << (ordering as i8 + 1) != 0
    }

    /// Like [`holds`](Self::holds), for doubles. `None` means that one of them is NaN: only `!=` holds, as in CEL.
    #[inline]
    #[must_use]
    pub fn holds_partial(self, ordering: Option<Ordering>) -> bool {
        ordering.map_or(self == Self::NOT_EQUAL, |ordering| self.holds(ordering))
    }

    /// Returns the relation for swapped operands: `a < b` is `b > a`.
    pub(super) const fn swapped(self) -> Self {
        Self(self.0 & 0b010 | self.0 >> 2 | (self.0 & 1) << 2)
    }

    /// Returns the symbol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LESS => "<",
            Self::LESS_OR_EQUAL => "<=",
            Self::GREATER => ">",
            Self::GREATER_OR_EQUAL => ">=",
            Self::EQUAL => "==",
            _ => "!=",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_relation_holds_for_its_orderings_and_swaps_its_operands() {
        type Plain = fn(i32, i32) -> bool;
        let orderings = [Ordering::Less, Ordering::Equal, Ordering::Greater];
        let table: [(Relation, Plain); 6] = [
            (Relation::LESS, |a, b| a < b),
            (Relation::LESS_OR_EQUAL, |a, b| a <= b),
            (Relation::GREATER, |a, b| a > b),
            (Relation::GREATER_OR_EQUAL, |a, b| a >= b),
            (Relation::EQUAL, |a, b| a == b),
            (Relation::NOT_EQUAL, |a, b| a != b),
        ];
        for (relation, plain) in table {
            for ordering in orderings {
                assert_eq!(relation.holds(ordering), plain(ordering as i32, 0), "{} {ordering:?}", relation.as_str());
                assert_eq!(relation.swapped().holds(ordering.reverse()), relation.holds(ordering));
            }
            assert_eq!(relation.holds_partial(None), relation == Relation::NOT_EQUAL);
        }
    }
}
