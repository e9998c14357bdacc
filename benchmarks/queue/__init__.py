"""What the queue costs: ours, bare dramatiq's and BullMQ's, by turns in one Redis."""
