//! Whose price counts for a target: its own, else the list of its provider.

use anyhow::bail;

use crate::catalog::price::listed;
use crate::cli::load::settings::LoadSettings;
use crate::cli::targets::Column;
use crate::load::price::Price;

/// The price of each column's tokens. With a ceiling of cost, each must have one.
pub fn prices(columns: &[Column], settings: &LoadSettings) -> anyhow::Result<Vec<Option<Price>>> {
    let price = |column: &Column| {
        let target = settings.targets.targets.get(&column.target.name)?;
        if let Some(rates) = target.price {
            return Some(Price::own(rates));
        }
        // What stands at another address may charge otherwise. The provider's own FIPS host does not.
        let named = column.target.endpoint_from.as_ref();
        let elsewhere =
            named.is_some_and(|from| Some(from) != column.target.provider.fips_env.as_ref());
        let own = target.endpoint.is_none() && !elsewhere;
        if !own || column.target.mocked {
            return None;
        }
        listed(&column.target.provider.id, &column.target.model).map(Price::from)
    };
    let prices: Vec<Option<Price>> = columns.iter().map(price).collect();
    if settings.most_micro_dollars.is_some() {
        for (column, price) in columns.iter().zip(&prices) {
            if price.is_none() && !column.target.mocked {
                bail!(
                    "--max-cost: the price of `{}` is not known\n  help: give target `{}` \
                     `price: {{ input: 1.25, cached: 0.125, output: 10 }}`, in US dollars for a million tokens, or \
                     use --max-tokens",
                    column.target.model,
                    column.target.name
                );
            }
        }
    }
    Ok(prices)
}
