"""Analytics: what platforms say of posts; days, weeks and rates of it."""
