"""What the recipes of the shipped taggers share: numbers, examples, augmentation, fitting and cross-validation."""
