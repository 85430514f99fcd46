{{/* Name of the chart, or nameOverride. */}}
{{- define "lifecycle.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of all objects. Leaves room for the suffix of a pod, since a label holds at most 63 characters. */}}
{{- define "lifecycle.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains (include "lifecycle.name" .) .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "lifecycle.name" .) | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The labels by which pods are selected. They cannot change after the installation. */}}
{{- define "lifecycle.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lifecycle.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lifecycle.labels" -}}
{{ include "lifecycle.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "lifecycle.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "lifecycle.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "lifecycle.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- define "lifecycle.tokenSecret" -}}
{{- default (printf "%s-http-token" (include "lifecycle.fullname" .)) .Values.http.token.existingSecret }}
{{- end }}

{{/* The configuration file: what the chart sets, replaced by what the user sets. */}}
{{- define "lifecycle.config" -}}
{{- $chart := dict
  "http" (dict
    "listen" (printf "0.0.0.0:%d" (int .Values.http.port))
    "probes_listen" (printf "0.0.0.0:%d" (int .Values.http.probesPort))
    "token_file" (printf "/run/secrets/http-token/%s" .Values.http.token.key))
  "kafka" (dict "static_membership" true)
  "log" (dict "format" "json") }}
{{- toYaml (mergeOverwrite $chart (deepCopy .Values.config)) }}
{{- end }}

{{- define "lifecycle.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "lifecycle.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
{{- end }}

{{- define "lifecycle.volumeMounts" -}}
- name: config
  mountPath: /etc/lifecycle
  readOnly: true
- name: http-token
  mountPath: /run/secrets/http-token
  readOnly: true
{{- range .Values.secrets }}
- name: secret-{{ .name }}
  mountPath: /run/secrets/{{ .name }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lifecycle.volumes" -}}
# One volume for both: a folder cannot be mounted below a read-only one.
- name: config
  projected:
    sources:
      - configMap:
          name: {{ include "lifecycle.fullname" . }}
      {{- if .Values.modelFiles }}
      - configMap:
          name: {{ include "lifecycle.fullname" . }}-models
          items:
            {{- range $name, $_ := .Values.modelFiles }}
            - {key: {{ $name }}, path: models/{{ $name }}}
            {{- end }}
      {{- end }}
- name: http-token
  secret:
    secretName: {{ include "lifecycle.tokenSecret" . }}
    defaultMode: 0440
{{- range .Values.secrets }}
- name: secret-{{ .name }}
  secret:
    secretName: {{ .secretName }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
