output "place_file" {
  description = "The file config/places/PLACE.yaml, up to what only you know."
  value       = "TODO"
}
