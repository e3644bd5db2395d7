//! Where cells stand: as near to a square as there is room for, and large enough to be read and hit.

/// The least edge of a cell, in pixels.
pub const CELL_PX_MIN: f64 = 14.0;

/// The largest.
const CELL_PX_MAX: f64 = 36.0;

/// How wide and high a grid is at most while its cells need not be larger, in pixels.
const SIDE_PX: f64 = 430.0;

/// Rows and columns of equal cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Grid {
    /// How many cells there are.
    pub count: usize,
    /// How many stand in a row.
    pub columns: usize,
    /// The edge of one, in pixels.
    pub cell_px: f64,
}

/// Which way from one cell to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the one before it.
    Left,
    /// To the one after it.
    Right,
    /// To the one above.
    Up,
    /// To the one beneath.
    Down,
    /// To the first.
    First,
    /// To the last.
    Last,
}

impl Grid {
    /// Of so many cells in so much width.
    pub fn of(count: usize, width_px: f64) -> Grid {
        let room = ((width_px / CELL_PX_MIN) as usize).max(1);
        let mut square = 1;
        while square * square < count {
            square += 1;
        }
        let columns = square.min(room).max(1);
        let side = width_px.min(SIDE_PX);
        let cell_px = ((side / columns as f64) as u32 as f64).clamp(CELL_PX_MIN, CELL_PX_MAX);
        Grid {
            count,
            columns,
            cell_px,
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.count.div_ceil(self.columns.max(1))
    }

    /// How wide it is, in pixels.
    pub fn width_px(&self) -> f64 {
        self.columns as f64 * self.cell_px
    }

    /// How high it is.
    pub fn height_px(&self) -> f64 {
        self.rows() as f64 * self.cell_px
    }

    /// The upper left corner of a node's cell.
    pub fn corner(&self, node: u16) -> (f64, f64) {
        let place = usize::from(node).saturating_sub(1);
        let columns = self.columns.max(1);
        let (row, column) = (place / columns, place % columns);
        (column as f64 * self.cell_px, row as f64 * self.cell_px)
    }

    /// The middle of a node's cell.
    pub fn middle(&self, node: u16) -> (f64, f64) {
        let (x, y) = self.corner(node);
        (x + self.cell_px / 2.0, y + self.cell_px / 2.0)
    }

    /// The node whose cell is at a place.
    pub fn hit(&self, (x, y): (f64, f64)) -> Option<u16> {
        if x < 0.0 || y < 0.0 || x >= self.width_px() {
            return None;
        }
        let (column, row) = ((x / self.cell_px) as usize, (y / self.cell_px) as usize);
        let place = row * self.columns + column;
        (place < self.count)
            .then(|| u16::try_from(place + 1).ok())
            .flatten()
    }

    /// The node that a key leads to; it stays where there is none.
    pub fn go(&self, node: u16, way: Way) -> u16 {
        let last = u16::try_from(self.count).unwrap_or(u16::MAX);
        let columns = u16::try_from(self.columns).unwrap_or(u16::MAX);
        let to = match way {
            Way::Left => node.checked_sub(1),
            Way::Right => node.checked_add(1),
            Way::Up => node.checked_sub(columns),
            Way::Down => node.checked_add(columns),
            Way::First => Some(1),
            Way::Last => Some(last),
        };
        to.filter(|to| (1..=last).contains(to)).unwrap_or(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_square_where_there_is_room_and_its_cells_are_never_too_small() {
        for count in [12, 30, 100, 961, 2_000, 10_000] {
            for width in [320.0, 358.0, 640.0, 664.0] {
                let grid = Grid::of(count, width);
                assert!(grid.cell_px >= CELL_PX_MIN, "{count} in {width}");
                assert!(grid.width_px() <= width, "{count} in {width}: {grid:?}");
                assert!(grid.rows() * grid.columns >= count);
                assert!((grid.rows() - 1) * grid.columns < count);
                // Higher than wide only where the width is used up.
                let is_square = grid.rows() <= grid.columns;
                assert!(is_square || grid.width_px() + CELL_PX_MIN > width);
            }
        }
    }

    #[test]
    fn every_cell_is_hit_where_it_stands_and_nothing_beside_them() {
        let grid = Grid::of(30, 640.0);
        for node in 1..=30 {
            assert_eq!(grid.hit(grid.middle(node)), Some(node));
            assert_eq!(grid.hit(grid.corner(node)), Some(node));
        }
        let (x, y) = grid.middle(30);
        assert_eq!(grid.hit((x, y + grid.cell_px)), None);
        assert_eq!(grid.hit((-1.0, y)), None);
        assert_eq!(grid.hit((grid.width_px() + 1.0, 5.0)), None);
    }

    #[test]
    fn keys_go_from_cell_to_cell_and_stay_at_the_edge() {
        let grid = Grid::of(30, 640.0);
        assert_eq!(grid.columns, 6);
        assert_eq!(grid.go(1, Way::Right), 2);
        assert_eq!(grid.go(2, Way::Down), 8);
        assert_eq!(grid.go(8, Way::Up), 2);
        assert_eq!([grid.go(1, Way::Left), grid.go(2, Way::Up)], [1, 2]);
        assert_eq!([grid.go(30, Way::Right), grid.go(26, Way::Down)], [30, 26]);
        assert_eq!([grid.go(9, Way::First), grid.go(9, Way::Last)], [1, 30]);
    }
}
