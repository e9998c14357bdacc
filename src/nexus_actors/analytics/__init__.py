"""Analytics: figures of posts and accounts in; rollups, anomalies and reports out."""
