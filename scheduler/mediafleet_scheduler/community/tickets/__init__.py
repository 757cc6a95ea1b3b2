"""What operators are paid: winning tickets, and what they say of who shares and who does not."""
