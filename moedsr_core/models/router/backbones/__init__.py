"""Networks over surface points that can stand in the Q-MPNN's place (MoE-DSR, Table 4)."""
