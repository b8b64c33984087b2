"""One decision of the Autobidder, one module per step; `autobidder` lists the steps in order."""
