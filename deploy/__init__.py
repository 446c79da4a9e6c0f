"""What takes the stack to Cloud Composer: checks, the bundle, and its way into an environment (docs/composer.md)."""
