{
 "reason": "retention",
 "first": 0,
 "last": 99,
 "detected_at": 1767225660000,
 "evidence": {
  "log_start": 100
 }
}